/** The least that an accept can be: a bare Worker that writes one row in one of 16 objects, in the same kind of Miniflare as the product. */
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
  }
  export default {
    async fetch(request, env) {
      const body = await request.json();
      const id = crypto.randomUUID();
      const shard = parseInt(id.slice(0, 1), 16);
      const answer = await env.ROW.getByName("row-" + shard).add(id, JSON.stringify(body));
      return Response.json(answer, { status: 201 });
    },
  };`;

export type Bare = { url: string; stop(): Promise<void> };

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
  return { url: `http://127.0.0.1:${port}`, stop: () => edge.stop() };
}
