/**
 * The load: predictions sent at an even pace, each followed by GET to its end, some read along as a stream from the
 * start.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isFinished } from "./client.ts";
import type { Client, StreamTold, View } from "./client.ts";
import type { LoadView, Scenario } from "./scenario.ts";
import type { Receiver } from "./receiver.ts";

const SENDERS = 32;
const FOLLOWERS = 24;
/** Every so many-th prediction is read along. */
const LIVE_EVERY = 10;
const TICK_MS = 10;

/** One prediction as its client saw it. */
export type Trace = {
  key: string;
  number: number;
  fails: boolean;
  /** How long a tail its output has, in characters. */
  tail: number;
  receiver: Receiver;
  accepted: View | null;
  /** What GET said when it was first seen finished. */
  finished: View | null;
  live: StreamTold | null;
};

export type Load = LoadView & {
  traces: Trace[];
  /** Resolves when everything was accepted. */
  sent: Promise<void>;
  /** Resolves when everything was seen finished. */
  done: Promise<void>;
};

/** `perSecond`: the pace; Infinity: as fast as the senders can. */
type Sent = { receivers: readonly Receiver[]; count: number; perSecond: number };

/** Begins to send `count` predictions. After `client`'s signal nothing more is seen, and what is open stays so. */
export function startLoad(client: Client, scenario: Scenario, { receivers, count, perSecond }: Sent): Load {
  const traces = Array.from({ length: count }, (_, index) => traceOf(scenario, receivers, index, count));
  const toFollow: Trace[] = [];
  const accepts: { sentAt: number; answeredAt: number }[] = [];
  const beganAt = performance.now();
  const perMs = perSecond / 1000;
  let next = 0;
  let sent = 0;
  let finished = 0;

  async function send(): Promise<void> {
    while (next < count) {
      const index = next++;
      const trace = traces[index] ?? unreachable();
      await sleep(Math.max(0, beganAt + index / perMs - performance.now()));
      const { input } = scenario.job?.(trace.key, index, count) ?? { input: {} };
      const sentAt = Date.now();
      trace.accepted = await client.create(trace.key, {
        version: `local/${scenario.model}`,
        input: { key: trace.key, number: trace.number, ...input },
        webhook: trace.receiver.urlOf(trace.key),
        webhook_events_filter: ["completed"],
      });
      accepts.push({ sentAt, answeredAt: Date.now() });
      sent += 1;
      toFollow.push(trace);
      if (index % LIVE_EVERY === 0) readAlong(trace, trace.accepted.id);
    }
  }

  function readAlong(trace: Trace, id: string): void {
    const read = client.stream(id).then((told) => {
      trace.live = told;
    });
    read.catch(() => {});
    reading.push(read);
  }

  async function follow(): Promise<void> {
    while (finished < count) {
      const trace = toFollow.shift();
      if (trace?.accepted === undefined || trace.accepted === null) {
        if (sent === count && toFollow.length === 0) return;
        await sleep(TICK_MS);
        continue;
      }
      let view: View | null = null;
      do view = await client.get(trace.accepted.id);
      while (view !== null && !isFinished(view));
      trace.finished = view;
      finished += 1;
    }
  }

  const reading: Promise<void>[] = [];
  const sending = Promise.all(Array.from({ length: SENDERS }, send)).then(() => {});
  const following = Promise.all(Array.from({ length: FOLLOWERS }, follow));
  const done = Promise.all([sending, following]).then(async () => {
    await Promise.all(reading);
  });
  sending.catch(() => {});
  done.catch(() => {});
  return {
    traces,
    sent: sending,
    done,
    async reached(share) {
      while (finished < share * count) await sleep(TICK_MS);
    },
    acceptsMs: (from, to) =>
      accepts
        .filter(({ sentAt, answeredAt }) => sentAt >= from && answeredAt < to)
        .map(({ sentAt, answeredAt }) => answeredAt - sentAt),
  };
}

function traceOf(scenario: Scenario, receivers: readonly Receiver[], index: number, count: number): Trace {
  const key = `${scenario.keys ?? "k"}${String(index).padStart(6, "0")}`;
  const receiver = receivers[index % receivers.length] ?? unreachable();
  const { fails = false, tail = 0 } = scenario.job?.(key, index, count) ?? {};
  return { key, number: index, fails, tail, receiver, accepted: null, finished: null, live: null };
}

function unreachable(): never {
  throw new Error("there is no such entry");
}
