/**
 * The least that an accept and a poll can be: a bare Worker that writes, reads and ends one row in one of 16 objects,
 * in the same kind of Miniflare as the product. `POST /` makes a row, `GET /{id}` reads it, `DELETE /{id}` ends it.
 */
import { join } from "node:path";
import { createEdge } from "../../../scripts/lib/edge.ts";

const script = `
  import { DurableObject } from "cloudflare:workers";
  export class Row extends DurableObject {
    constructor(ctx, env) {
      super(ctx, env);
      ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID");
    }
    add(id, body) {
      this.ctx.storage.sql.exec("INSERT INTO rows VALUES (?, ?)", id, body);
      return { id, status: "starting" };
    }
    get(id) {
      return { id, ...JSON.parse(this.ctx.storage.sql.exec("SELECT body FROM rows WHERE id = ?", id).one().body) };
    }
    end(id) {
      const ended = { ...this.get(id), status: "canceled" };
      this.ctx.storage.sql.exec("UPDATE rows SET body = ? WHERE id = ?", JSON.stringify(ended), id);
      return ended;
    }
  }
  export default {
    async fetch(request, env) {
      const objectOf = (id) => env.ROW.getByName("row-" + parseInt(id.slice(0, 1), 16));
      const known = new URL(request.url).pathname.slice(1);
      if (request.method === "GET") return Response.json(await objectOf(known).get(known));
      if (request.method === "DELETE") return Response.json(await objectOf(known).end(known));
      const body = await request.json();
      const id = crypto.randomUUID();
      const answer = await objectOf(id).add(id, JSON.stringify(body));
      return Response.json(answer, { status: 201 });
    },
  };`;

export type Bare = { url: string; pid(): number | null; stop(): Promise<void> };

export async function startBare(port: number, stateDir: string): Promise<Bare> {
  const worker = {
    name: "bare",
    compatibilityDate: "2026-11-02",
    modules: true as const,
    script,
    d1Databases: { DB: "bare" },
    durableObjects: { ROW: { className: "Row", useSQLite: true } },
  };
  const statePath = join(stateDir, "bare");
  const options = {
    type: "start" as const,
    worker,
    migrations: [],
    port,
    statePath,
    bindings: {},
    allowLoopback: false,
    offline: true,
    operatorOrigins: [],
  };
  const edge = createEdge(
    Promise.resolve(options),
    () => {},
    () => {},
  );
  await edge.start();
  return { url: `http://127.0.0.1:${port}`, pid: () => edge.pids().workerd, stop: () => edge.stop() };
}
