/**
 * The verdicts of one isolate on their way to the topic `audit`. They wait in memory for company, a tenth of a second,
 * and leave in batches behind the answers; while the log is away they are kept, up to a bound, and tried again.
 *
 * What waits is lost with its isolate. What is beyond the bound, or refused by the log for good, is dropped and
 * counted.
 */
import type { VerdictEvent } from "../../plugins/kernel/verdict-events.ts";
import { AUDIT_TOPIC } from "../contract/published.ts";
import type { AuditRecord } from "../contract/published.ts";
import { produceHalving } from "../log/halving.ts";
import type { LogRecord } from "../log/types.ts";
import { retryDelayMs } from "../object-calls.ts";
import { within } from "../shard/within.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import type { AuditCounts } from "../telemetry/audit-counts.ts";

const MAX_WAITING = 5000;
const BATCH_RECORDS = 500;
const GATHER_MS = 100;
/** Work behind an answer ends half a minute later, at the latest: what a run of the loop didn't do, the next does. */
const RUN_MS = 20_000;
const DEAD_AFTER_MS = 40_000;
const PRODUCE_LIMIT_MS = 5000;
const MAX_FINDINGS = 32;
const MAX_CHARS = 100;
/** The key of what was decided before it was known who calls. */
const NOBODY = "unknown";

export type AuditDeps = {
  now(): number;
  sleep(ms: number): Promise<void>;
  produce(records: LogRecord[]): Promise<unknown>;
  /** Lets the work go on behind the answer of the request that began it. */
  background(work: Promise<unknown>): void;
  count(outcome: keyof AuditCounts, count: number): void;
};

export type AuditLog = ReturnType<typeof createAuditLog>;

export function createAuditLog({ now, sleep, produce, background, count }: AuditDeps) {
  const waiting: LogRecord[] = [];
  /** What a run has taken out; that of a run that died is taken up by the next one. */
  let leaving: LogRecord[] = [];
  let runSince: number | null = null;

  function start(): void {
    if (runSince !== null && now() - runSince < DEAD_AFTER_MS) return;
    waiting.unshift(...leaving);
    leaving = [];
    runSince = now();
    background(run(runSince));
  }

  async function run(since: number): Promise<void> {
    for (let failures = 0; ;) {
      await sleep(failures === 0 ? GATHER_MS : retryDelayMs(failures, null));
      if (runSince !== since) return;
      if (waiting.length === 0 || now() - since > RUN_MS) break;
      leaving = waiting.splice(0, BATCH_RECORDS);
      const error = await tryBatch(leaving);
      if (runSince !== since) return;
      failures = error === null ? 0 : failures + 1;
      if (error !== null) waiting.unshift(...leaving);
      leaving = [];
    }
    runSince = null;
  }

  /** What failed in passing; null: all of it has left. */
  async function tryBatch(batch: readonly LogRecord[]): Promise<unknown> {
    let published = batch.length;
    try {
      const produced = produceHalving(
        batch,
        async (part) => void (await produce([...part])),
        async (_record, reason) => {
          log.warn("audit_event_refused", { reason });
          published -= 1;
        },
      );
      await within(produced, PRODUCE_LIMIT_MS);
    } catch (error) {
      log.warn("audit_not_published", { events: batch.length, reason: reasonOf(error) });
      return error;
    }
    count("published", published);
    count("dropped", batch.length - published);
    return null;
  }

  return {
    /** Notes one event. Never throws, and never waits. */
    note(event: VerdictEvent): void {
      if (waiting.length >= MAX_WAITING) count("dropped", 1);
      else waiting.push(toRecord(event));
      start();
    },

    /** Goes on with what an earlier run left. */
    goOn(): void {
      if (waiting.length + leaving.length > 0) start();
    },
  };
}

/** One account's are in one partition, and so in order. */
function toRecord(event: VerdictEvent): LogRecord {
  return { topic: AUDIT_TOPIC, key: event.accountId ?? NOBODY, value: JSON.stringify(contentOf(event)) };
}

function contentOf(event: VerdictEvent): AuditRecord {
  const { id, at, settings, plugin, phase, action, code, model } = event;
  return {
    ...{ v: 1, id, at, settings, plugin, phase, action, code },
    findings: event.findings.slice(0, MAX_FINDINGS).map(({ category, rule }) => ({
      category: category.slice(0, MAX_CHARS),
      rule: rule.slice(0, MAX_CHARS),
    })),
    ...{ account: event.accountId, credential: event.credentialId },
    ...{ request: event.requestId, prediction: event.predictionId },
    model: model === null ? null : `${model.owner}/${model.name}`,
    version: model?.version ?? null,
  };
}
