/** The audit logs of this isolate: of the topic, and of operators' receivers, each by its URL. */
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
  const receivers = new Map<string, { log: AuditLog; receiver: Receiver }>();
  const topic = logTo(async (records) => (await currentLog(env)).producer.produce(records));

  function ofReceiver(receiver: Receiver): AuditLog {
    const known = receivers.get(receiver.url);
    if (known !== undefined) {
      known.receiver = receiver;
      return known.log;
    }
    const deps = { now: () => Date.now(), fetch: (url: string, init: RequestInit) => fetch(url, init) };
    const log = logTo((records) => postEvents(receivers.get(receiver.url)?.receiver ?? receiver, records, deps));
    receivers.set(receiver.url, { log, receiver });
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
      for (const { log } of receivers.values()) log.goOn();
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
