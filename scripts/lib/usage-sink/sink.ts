/**
 * Carries usage events from the topic to a target, at least once. What is read is noted as being sent before the first
 * request leaves, and as done after the last answer: whoever dies in between sends it again, which the target knows by
 * ids. What can't be sent any more goes to a file of dead letters, on disk before the offset moves.
 */
import { appendFileSync, closeSync, fsyncSync, openSync } from "node:fs";
import { UsageEventSchema } from "../../../src/metering/cloud-event.ts";
import type { UsageEvent } from "../../../src/metering/cloud-event.ts";
import type { ReadRecord, TopicReader } from "./reader.ts";
import { readState, writeState } from "./state.ts";
import type { Target } from "./targets.ts";

const REQUEST_MS = 30_000;
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 60_000;

export type SinkOptions = {
  reader: TopicReader;
  target: Target;
  topic: string;
  statePath: string;
  deadLetterPath: string;
  now?: () => number;
  sleep?: (ms: number) => Promise<void>;
  say?: (line: string) => void;
  requestMs?: number;
};

export type Step = { read: number; sent: number; dead: number };

/** The target takes nothing of ours, whatever it is: somebody has to mend a setting. */
export class MisconfiguredError extends Error {}

export function createSink(options: SinkOptions) {
  const { reader, target, topic, statePath, deadLetterPath, now = Date.now, requestMs = REQUEST_MS } = options;
  const sleep = options.sleep ?? ((ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)));
  const say = options.say ?? (() => {});
  const state = readState(statePath, topic);

  function bury(events: readonly UsageEvent[], reason: string): void {
    const at = new Date(now()).toISOString();
    const file = openSync(deadLetterPath, "a");
    try {
      for (const event of events) appendFileSync(file, `${JSON.stringify({ at, reason, event })}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    say(`${events.length} dead: ${reason}`);
  }

  /** Sends until there is an answer that decides. `since`: when the first of them may have been sent. */
  async function send(events: readonly UsageEvent[], since: number, step: Step): Promise<void> {
    for (let failures = 0; ;) {
      if (now() - since >= target.resendMs) {
        bury(events, "it may have arrived, and can't be sent again so late: look whether it did");
        step.dead += events.length;
        return;
      }
      const answer = await post(events);
      if (answer.verdict === "done") {
        step.sent += events.length;
        return;
      }
      if (answer.verdict === "misconfigured")
        throw new MisconfiguredError(`${target.name} answered ${answer.says}: look at its address and its key`);
      if (answer.verdict === "refused") return refused(events, answer.says, since, step);
      failures += 1;
      const delayMs = answer.retryAfterMs ?? Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (failures - 1));
      say(`${target.name}: ${answer.says}; again in ${delayMs} ms`);
      await sleep(delayMs);
    }
  }

  /** Of several that were refused together, those that are refused alone are dead. */
  async function refused(events: readonly UsageEvent[], says: string, since: number, step: Step): Promise<void> {
    if (events.length > 1) {
      const half = Math.ceil(events.length / 2);
      await send(events.slice(0, half), since, step);
      await send(events.slice(half), since, step);
      return;
    }
    bury(events, `${target.name} refuses it: ${says}`);
    step.dead += 1;
  }

  async function post(events: readonly UsageEvent[]) {
    const { url, headers, body } = target.request(events);
    try {
      const signal = AbortSignal.timeout(requestMs);
      const response = await fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
      const text = (await response.text()).slice(0, 300);
      const retryAfterS = Number(response.headers.get("retry-after") ?? Number.NaN);
      return {
        verdict: target.verdict(response.status, text),
        says: `${response.status} ${text}`.trim(),
        retryAfterMs: Number.isFinite(retryAfterS) ? Math.min(MAX_DELAY_MS, Math.max(0, retryAfterS * 1000)) : null,
      };
    } catch (error) {
      return {
        verdict: "again" as const,
        says: error instanceof Error ? error.message : String(error),
        retryAfterMs: null,
      };
    }
  }

  /** Partitions in which something is left of what was begun to be sent. */
  function begunIn(): Set<number> {
    const begun = Object.entries(state.sending?.upTo ?? {});
    return new Set(
      begun.flatMap(([partition, upTo]) => ((state.offsets[partition] ?? 0) < upTo ? Number(partition) : [])),
    );
  }

  /** What was begun to be sent comes first, by itself; where nothing is left of it, all comes. */
  async function next(): Promise<ReadRecord[]> {
    const begun = state.sending?.upTo ?? {};
    const partitions = begunIn();
    // Of these alone: others may have so much by now that a read brings nothing else.
    const found = partitions.size === 0 ? [] : await reader.read(state.offsets, partitions);
    const left = found.filter(({ partition, offset }) => offset < (begun[partition] ?? 0));
    if (left.length > 0) return left;
    state.sending = null;
    return reader.read(state.offsets);
  }

  return {
    /** Carries what comes next; answers how much that was. */
    async step(): Promise<Step> {
      const records = await next();
      const step: Step = { read: records.length, sent: 0, dead: 0 };
      if (records.length === 0) return step;
      const upTo = { ...state.offsets, ...reached(records) };
      const since = state.sending?.since ?? now();
      state.sending ??= { since, upTo };
      writeState(statePath, state);
      const events = records.flatMap(({ value }) => eventOf(value) ?? []);
      if (events.length < records.length) say(`${records.length - events.length} records are no usage events`);
      const fit: UsageEvent[] = [];
      for (const event of events) {
        const refusal = target.refusal(event, now());
        if (refusal === null) fit.push(event);
        else if (refusal !== "ignored") {
          bury([event], refusal.reason);
          step.dead += 1;
        }
      }
      for (let at = 0; at < fit.length; at += target.batch) await send(fit.slice(at, at + target.batch), since, step);
      state.offsets = upTo;
      if (begunIn().size === 0) state.sending = null;
      writeState(statePath, state);
      return step;
    },
  };
}

function reached(records: readonly ReadRecord[]): Record<string, number> {
  const offsets: Record<string, number> = {};
  for (const { partition, offset } of records) offsets[partition] = Math.max(offsets[partition] ?? 0, offset + 1);
  return offsets;
}

function eventOf(value: string): UsageEvent | null {
  try {
    const event = UsageEventSchema.safeParse(JSON.parse(value));
    return event.success ? event.data : null;
  } catch {
    return null;
  }
}
