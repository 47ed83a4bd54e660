/** What became of every prediction, held against what had to: the one place that judges. Pure. */
import { isFinished } from "./client.ts";
import type { StreamTold, View } from "./client.ts";
import type { Trace } from "./load.ts";
import type { Message } from "./receiver.ts";
import { isTooLate, recoveryMs } from "./recovery.ts";
import type { Machine } from "./recovery.ts";
import type { Outage } from "./scenario.ts";
import { outputOf } from "./scenario.ts";

/** All that is known of one prediction when everything has settled. */
export type Evidence = {
  trace: Trace;
  /** What GET says at the very end. */
  last: View | null;
  /** What its stream tells when it is read from the start, at the very end. */
  replay: StreamTold | null;
  messages: readonly Message[];
  isDelivered: boolean;
  /** Each time that the model began to work on it. */
  runs: readonly string[];
};

const SHOWN_CHARS = 500;

export type Ledger = {
  sent: number;
  succeeded: number;
  failedAsExpected: number;
  lost: number;
  twice: number;
  stuck: number;
  longestRecoveryMs: number;
  /** One line for each thing that is not as it should be. */
  problems: string[];
  /** Recoveries that took longer than their aim, though not by as much as makes them a problem. */
  unmet: string[];
};

export function judge(
  evidence: readonly Evidence[],
  outages: readonly Outage[],
  { stalledMs, slowness }: Machine = { stalledMs: () => 0, slowness: 1 },
): Ledger {
  const ledger: Ledger = {
    sent: evidence.filter(({ trace }) => trace.accepted !== null).length,
    succeeded: 0,
    failedAsExpected: 0,
    lost: 0,
    twice: 0,
    stuck: 0,
    longestRecoveryMs: 0,
    problems: [],
    unmet: [],
  };
  for (const one of evidence) {
    const { kind, why } = verdictOf(one);
    ledger[kind] += 1;
    if (why !== "")
      ledger.problems.push(`${kind}: ${one.trace.key} ${one.trace.accepted?.id ?? "(not accepted)"}: ${why}`);
  }
  const views = evidence.flatMap(({ last }) => last ?? []);
  for (const outage of outages) {
    const tookMs = Math.round(recoveryMs(outage, views, stalledMs));
    ledger.longestRecoveryMs = Math.max(ledger.longestRecoveryMs, tookMs);
    if (tookMs > outage.limitMs) {
      const line = `${outage.what}: well again after ${tookMs} ms, the aim is ${outage.limitMs} ms`;
      (isTooLate(tookMs, outage.limitMs, slowness) ? ledger.problems : ledger.unmet).push(line);
    }
  }
  return ledger;
}

type Kind = "succeeded" | "failedAsExpected" | "lost" | "twice" | "stuck";

function verdictOf({ trace, last, replay, messages, isDelivered, runs }: Evidence): { kind: Kind; why: string } {
  if (trace.accepted === null) return { kind: "lost", why: "no accept came back" };
  if (last === null) return { kind: "lost", why: "GET doesn't know it any more" };
  if (!isFinished(last) || trace.finished === null) return { kind: "stuck", why: `it is ${last.status}` };

  const { status, output } = trace.finished;
  if (last.status !== status || last.output !== output) {
    return { kind: "twice", why: `GET said ${status} ${shown(output)}, then ${last.status} ${shown(last.output)}` };
  }
  if (runs.length > last.attempt) {
    return { kind: "twice", why: `it ran more than its ${last.attempt} attempts say: ${runs.join(", ")}` };
  }
  if (new Set(messages.map(({ webhookId }) => webhookId)).size > 1) {
    return { kind: "twice", why: "its webhooks had several ids" };
  }

  const wanted = trace.fails ? "failed" : "succeeded";
  if (status !== wanted) return { kind: "lost", why: `it ended as ${status}: ${last.error ?? "no error"}` };
  const outputs = trace.fails ? [] : [outputOf(trace.key, trace.number, trace.tail)];
  if (!trace.fails && output !== outputs[0]) return { kind: "lost", why: `its output was ${shown(output)}` };
  for (const told of [trace.live, replay]) {
    if (told === null) continue;
    if (told.ends.length > 1 || told.outputs.length > 1) return { kind: "twice", why: `SSE told ${shown(told)}` };
    if (told.outputs.join() !== outputs.join()) return { kind: "lost", why: `SSE told ${shown(told)}` };
  }
  if (replay === null) return { kind: "lost", why: "its stream has no end" };
  if (!isDelivered) return { kind: "lost", why: "no webhook was delivered" };
  if (messages.some((message) => message.status !== status || message.output !== output)) {
    return { kind: "twice", why: "a webhook tells of another end" };
  }
  return { kind: trace.fails ? "failedAsExpected" : "succeeded", why: "" };
}

function shown(value: unknown): string {
  return JSON.stringify(value ?? null).slice(0, SHOWN_CHARS);
}
