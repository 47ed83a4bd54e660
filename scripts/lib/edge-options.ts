/** What the supervisor and the edge process tell each other over their IPC channel. */
import * as z from "zod";
import type { Migration } from "./d1-migrate.ts";
import type { WorkerBundle } from "./worker-bundle.ts";

export const MigrationSchema = z.object({
  name: z.string(),
  statements: z.array(z.string()),
}) satisfies z.ZodType<Migration>;

export const EdgeOptionsSchema = z.object({
  type: z.literal("start"),
  /** The bundled Worker: options of Miniflare 4's shape, from wrangler.toml. */
  worker: z.custom<WorkerBundle>((value) => typeof value === "object" && value !== null && "script" in value),
  migrations: z.array(MigrationSchema),
  /** The address of this machine that workerd listens on; 127.0.0.1 without it. */
  host: z.string().optional(),
  port: z.number().int(),
  /** The folder of the files of `/docs`; without it that page has none. */
  assetsPath: z.string().optional(),
  /** Where workerd's inspector listens, on loopback; without it there is none. */
  inspectorPort: z.number().int().optional(),
  /** Where the objects, D1, KV and R2 lie. */
  statePath: z.string(),
  /** Variables and secrets over those of the configuration. */
  bindings: z.record(z.string(), z.string()),
  /** True lets the Worker's outgoing requests reach loopback, besides public addresses. */
  allowLoopback: z.boolean(),
  /** True closes the way to public addresses. */
  offline: z.boolean(),
  /**
   * Origins of the operator's own services (a bridge, a Redis): calls to them that carry credentials may reach any
   * network.
   */
  operatorOrigins: z.array(z.string()),
});
export type EdgeOptions = z.infer<typeof EdgeOptionsSchema>;

export const EdgeCommandSchema = z.discriminatedUnion("type", [
  EdgeOptionsSchema,
  z.object({ type: z.literal("stop") }),
]);

export const EdgeReportSchema = z.discriminatedUnion("type", [
  /** A workerd was started. */
  z.object({ type: z.literal("workerd"), pid: z.number().int() }),
  /** The workerd of an uploaded plugin was started. */
  z.object({ type: z.literal("plugin"), pid: z.number().int() }),
  z.object({ type: z.literal("ready") }),
  /** It can't start, and why, in words for the user. */
  z.object({ type: z.literal("failed"), message: z.string() }),
]);
export type EdgeReport = z.infer<typeof EdgeReportSchema>;
