/**
 * Put around the product's entry by a bench: counts calls into objects and the rows that they write, and times the part of each call that holds
 * its object. `/__bench` answers the counters; `POST /__bench` calls a method of one object, or of many in turn. `PUT /__bench` answers what happened since the
 * last one, and when; nothing is noted before the first. All objects share one isolate here, and so one set of counters.
 */
import { DurableObject } from "cloudflare:workers";

const counters = {
  workerRequests: 0,
  workerPending: 0,
  calls: {},
  pending: {},
  rowsWritten: {},
  alarmsSet: {},
  slowestMs: {},
};

/** `[what, when]`, in whole milliseconds since the epoch; null while nobody wants them. */
let marks = null;
const mark = (what) => marks?.push([what, Date.now()]);

const add = (kind, name, amount) => {
  counters[kind][name] = (counters[kind][name] ?? 0) + amount;
};

function countRows(name, storage) {
  const { sql } = storage;
  const exec = sql.exec.bind(sql);
  sql.exec = (...args) => {
    const cursor = exec(...args);
    let counted = cursor.rowsWritten;
    add("rowsWritten", name, counted);
    const toArray = cursor.toArray.bind(cursor);
    cursor.toArray = () => {
      const rows = toArray();
      add("rowsWritten", name, cursor.rowsWritten - counted);
      counted = cursor.rowsWritten;
      return rows;
    };
    return cursor;
  };
  const setAlarm = storage.setAlarm.bind(storage);
  storage.setAlarm = (...args) => {
    add("alarmsSet", name, 1);
    return setAlarm(...args);
  };
}

/** A subclass that counts every call from outside. */
export function counted(name, Base) {
  class Counted extends Base {
    constructor(ctx, env) {
      countRows(name, ctx.storage);
      super(ctx, env);
    }
  }
  for (const method of methodsOf(Base)) {
    Counted.prototype[method] = function (...args) {
      add("calls", `${name}.${method}`, 1);
      add("pending", name, 1);
      const key = `${name}.${method}`;
      mark(`${key}: begins`);
      const startedAt = performance.now();
      const settle = () => {
        add("pending", name, -1);
        mark(`${key}: ends`);
      };
      try {
        const result = super_(Base, method, this, args);
        counters.slowestMs[key] = Math.max(counters.slowestMs[key] ?? 0, performance.now() - startedAt);
        if (typeof result?.then === "function") result.then(settle, settle);
        else settle();
        return result;
      } catch (error) {
        settle();
        throw error;
      }
    };
  }
  return Counted;
}

/** Methods of a class and of those that it extends, up to the platform's own. */
function methodsOf(Base) {
  const names = new Set();
  for (let proto = Base.prototype; proto !== DurableObject.prototype; proto = Object.getPrototypeOf(proto)) {
    for (const name of Object.getOwnPropertyNames(proto)) {
      if (name !== "constructor" && typeof Base.prototype[name] === "function") names.add(name);
    }
  }
  return names;
}

const super_ = (Base, method, self, args) => Base.prototype[method].apply(self, args);

/** The Worker with the bench's own route before it. */
export function countedWorker(worker) {
  return {
    async fetch(request, env, ctx) {
      if (new URL(request.url).pathname !== "/__bench") {
        counters.workerRequests += 1;
        counters.workerPending += 1;
        const what = `Worker, ${request.method} ${new URL(request.url).pathname.replace(/\/s[0-9a-f]{32}/, "/SESSION")}`;
        mark(`${what}: begins`);
        try {
          return await worker.fetch(request, env, ctx);
        } finally {
          mark(`${what}: ends`);
          counters.workerPending -= 1;
        }
      }
      if (request.method === "GET") return Response.json(counters);
      if (request.method === "PUT") {
        const noted = marks ?? [];
        marks = [];
        return Response.json(noted);
      }
      if (request.method === "DELETE") {
        counters.workerRequests = 0;
        for (const kind of ["calls", "rowsWritten", "alarmsSet", "slowestMs"]) counters[kind] = {};
        return Response.json(counters);
      }
      const { binding, name, method, calls } = await request.json();
      const stub = env[binding].getByName(name);
      const results = [];
      const elapsedMs = [];
      for (const args of calls) {
        const startedAt = performance.now();
        results.push(await stub[method](...args));
        elapsedMs.push(performance.now() - startedAt);
      }
      return Response.json({ results, elapsedMs });
    },
  };
}
