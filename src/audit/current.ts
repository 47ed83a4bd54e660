/** The audit log of this isolate. */
import { waitUntil } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { currentLog } from "../log/current-log.ts";
import { countAudit } from "../telemetry/audit-counts.ts";
import { createAuditLog } from "./audit-log.ts";
import type { AuditLog } from "./audit-log.ts";

const kept = new WeakMap<Env["LOG"], AuditLog>();

export function auditLog(env: Env): AuditLog {
  const known = kept.get(env.LOG);
  if (known !== undefined) return known;
  const made = createAuditLog({
    now: () => Date.now(),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    produce: async (records) => (await currentLog(env)).producer.produce(records),
    background: (work) => waitUntil(work),
    count: countAudit,
  });
  kept.set(env.LOG, made);
  return made;
}
