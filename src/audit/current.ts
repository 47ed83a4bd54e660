/** The audit logs of this isolate: of the topic, and of operators' receivers, each by its URL and its secret. */
import { waitUntil } from "cloudflare:workers";
import type { AuditService } from "../../plugins/kernel/services.ts";
import type { Env } from "../env.ts";
import { currentLog } from "../log/current-log.ts";
import { countAudit } from "../telemetry/audit-counts.ts";
import { createAuditLog } from "./audit-log.ts";
import type { AuditDeps, AuditLog } from "./audit-log.ts";
import { checkReceiver, postEvents } from "./receiver.ts";
import type { Receiver } from "./receiver.ts";

type Audit = AuditService & {
  /** Goes on with what earlier runs left. */
  goOn(): void;
};

const kept = new WeakMap<Env["LOG"], Audit>();

export function auditService(env: Env): Audit {
  const known = kept.get(env.LOG);
  if (known !== undefined) return known;
  const made = createAudit(env);
  kept.set(env.LOG, made);
  return made;
}

function createAudit(env: Env): Audit {
  const receivers = new Map<string, AuditLog>();
  const topic = logTo(async (records) => (await currentLog(env)).producer.produce(records));

  /** Settings that are only tried, or another account's, may name another secret for the same URL. */
  function ofReceiver(receiver: Receiver): AuditLog {
    const key = JSON.stringify([receiver.url, receiver.secret]);
    const known = receivers.get(key);
    if (known !== undefined) return known;
    const deps = { now: () => Date.now(), fetch: (url: string, init: RequestInit) => fetch(url, init) };
    const log = logTo((records) => postEvents(receiver, records, deps));
    receivers.set(key, log);
    return log;
  }

  return {
    topic,
    receiver(url, secret) {
      checkReceiver({ url, secret }, env.ALLOW_LOOPBACK_TARGETS === "1");
      return ofReceiver({ url, secret });
    },
    goOn() {
      topic.goOn();
      for (const log of receivers.values()) log.goOn();
    },
  };
}

function logTo(produce: AuditDeps["produce"]): AuditLog {
  return createAuditLog({
    now: () => Date.now(),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    produce,
    background: (work) => waitUntil(work),
    count: countAudit,
  });
}
