/**
 * Put around the product's entry by a bench: counts calls into objects and the rows that they write, and times the part of each call that holds
 * its object. `/__bench` answers the counters; `POST /__bench` calls a method of one object, or of many in turn. All objects share
 * one isolate here, and so one set of counters.
 */
const counters = {
  workerRequests: 0,
  workerPending: 0,
  calls: {},
  pending: {},
  rowsWritten: {},
  alarmsSet: {},
  slowestMs: {},
};

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
  for (const method of Object.getOwnPropertyNames(Base.prototype)) {
    if (method === "constructor" || typeof Base.prototype[method] !== "function") continue;
    Counted.prototype[method] = function (...args) {
      add("calls", `${name}.${method}`, 1);
      add("pending", name, 1);
      const startedAt = performance.now();
      const settle = () => add("pending", name, -1);
      try {
        const result = super_(Base, method, this, args);
        const key = `${name}.${method}`;
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

const super_ = (Base, method, self, args) => Base.prototype[method].apply(self, args);

/** The Worker with the bench's own route before it. */
export function countedWorker(worker) {
  return {
    async fetch(request, env, ctx) {
      if (new URL(request.url).pathname !== "/__bench") {
        counters.workerRequests += 1;
        counters.workerPending += 1;
        try {
          return await worker.fetch(request, env, ctx);
        } finally {
          counters.workerPending -= 1;
        }
      }
      if (request.method === "GET") return Response.json(counters);
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
