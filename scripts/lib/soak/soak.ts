/**
 * One soak: learns what the stack carries, loads it with a share of that, samples all the while; where what it sampled
 * has drifted, for as long again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { quantile } from "../../../test/bench/lib/stats.ts";
import type { Say } from "../log-lines.ts";
import type { Stack } from "../stack.ts";
import { accounts } from "./accounts.ts";
import type { Account } from "./accounts.ts";
import { createGarbageCollector } from "./collect-garbage.ts";
import { mustGoOn } from "./judgement.ts";
import type { Latency, Stretch } from "./judgement.ts";
import { createOperations, kinds } from "./operations.ts";
import type { Operations } from "./operations.ts";
import type { Receiver } from "./receiver.ts";
import { createTraffic } from "./traffic.ts";
import type { Took } from "./traffic.ts";
import type { Sample } from "./verdict.ts";
import { diskOf } from "./disk.ts";
import { watch } from "./watch.ts";

const MEASURE_MS = 15_000;
const SAMPLE_MS = 15_000;
/** The index of an account is fed late. */
const LIST_TRIES = 50;
const LIST_PAUSE_MS = 100;
const MINUTE_MS = 60_000;
const WARM_UP_SHARE = 1 / 5;
const WARM_UP_MOST_MS = 10 * MINUTE_MS;
/** Until then nothing has reached its retention, and the databases grow. */
const WARM_UP_LEAST_MS = 1.5 * MINUTE_MS;

export type SoakOptions = {
  stack: Stack;
  /** A key of each account. */
  keys: ReadonlyMap<Account, string>;
  stateDir: string;
  receiver: Receiver;
  /** Of workerd and of the pool. */
  inspectorPorts: readonly number[];
  minutes: number;
  /** So many times the limits must something have drifted to be judged a second time. */
  slack: number;
  /** Share of what the stack carries, 0 to 1. */
  load: number;
  signal: AbortSignal;
  /** Hears one line for each sample. */
  say: Say;
};

export type SoakReport = {
  /** Operations a second: what the stack carried at full speed, and the pace. */
  capacity: number;
  pace: number;
  warmUpMs: number;
  /** What came after the warm-up; a second one, as long, where the first had drifted. */
  stretches: Stretch[];
  completed: number;
  failed: number;
  putOff: number;
  problems: readonly string[];
};

/** Null when it was stopped before its time. */
export async function soak(options: SoakOptions): Promise<SoakReport | null> {
  const { stack, say, signal } = options;
  const operations = new Map<Account, Operations>();
  for (const [account, apiKey] of options.keys)
    operations.set(account, createOperations({ url: stack.url, apiKey }, options.receiver));
  const traffic = createTraffic((account) => {
    const own = operations.get(account);
    if (own === undefined) throw new Error(`there is no key of the account ${account}`);
    return own;
  });
  await Promise.all([...operations.values()].map((own) => settleIn(own, signal)));
  // The first seconds start model processes and compile code: they are no measure.
  await traffic.measure(MEASURE_MS / 3, signal);
  const capacity = await traffic.measure(MEASURE_MS, signal);
  if (signal.aborted) return null;
  if (traffic.failed > 0) throw new Error(`an operation failed at full speed: ${traffic.problems[0]}`);
  const pace = capacity * options.load;
  say(
    `carries ${capacity.toFixed(1)} operations/s at full speed; paced at ${pace.toFixed(1)}/s for ${options.minutes} min`,
  );
  traffic.take();

  const durationMs = options.minutes * MINUTE_MS;
  const warmUpMs = Math.max(Math.min(durationMs * WARM_UP_SHARE, WARM_UP_MOST_MS), WARM_UP_LEAST_MS);
  const warmUps = Math.floor(warmUpMs / SAMPLE_MS);
  const judgedSamples = Math.floor(durationMs / SAMPLE_MS) - warmUps;
  const over = new AbortController();
  const garbage = createGarbageCollector(options.inspectorPorts);
  const paced = traffic.pace(pace, AbortSignal.any([signal, over.signal]));
  const stretches: Stretch[] = [];
  let samples: Sample[] = [];
  let judged: Took[] = [];
  let completed = 0;
  const beganAt = performance.now();
  try {
    let [at, takenAt] = [beganAt, beganAt];
    for (let index = 1; ; index += 1) {
      // A collection that waited for a stalled machine puts off what comes next: a moment's operations are no sample.
      at = Math.max(at + SAMPLE_MS, performance.now() + SAMPLE_MS / 2);
      await sleep(at - performance.now(), undefined, { signal }).catch(() => {});
      if (signal.aborted) break;
      const took = traffic.take();
      const lengthMs = performance.now() - takenAt;
      takenAt += lengthMs;
      const uncollected = watch(stack);
      await garbage.collect();
      const sample = { ...latencyOf(took, lengthMs), uncollected, held: watch(stack), disk: diskOf(options.stateDir) };
      say(lineOf(at - beganAt, sample, traffic.failed, index > warmUps));
      completed += took.length;
      if (index <= warmUps) continue;
      samples.push(sample);
      for (const one of took) judged.push(one);
      if (samples.length < judgedSamples) continue;
      stretches.push(stretchOf(samples, judged));
      if (!mustGoOn(stretches, options.slack, traffic.failed)) break;
      const moreMin = (judgedSamples * SAMPLE_MS) / MINUTE_MS;
      say(`something drifted: it goes on for ${moreMin} min more, and what drifts again fails`);
      [samples, judged] = [[], []];
    }
  } finally {
    over.abort();
    garbage.close();
    await paced;
  }
  if (signal.aborted) return null;
  return {
    capacity,
    pace,
    warmUpMs,
    stretches,
    completed: completed + traffic.take().length,
    failed: traffic.failed,
    putOff: traffic.putOff,
    problems: traffic.problems,
  };
}

/** Makes the account's first prediction, and waits until its list shows it. */
async function settleIn(own: Operations, signal: AbortSignal): Promise<void> {
  await own.waited(0);
  for (let tries = 0; !signal.aborted; tries += 1) {
    try {
      return await own.listed(0);
    } catch (error) {
      if (tries === LIST_TRIES) throw error;
      await sleep(LIST_PAUSE_MS);
    }
  }
}

function stretchOf(samples: Sample[], took: readonly Took[]): Stretch {
  return {
    samples,
    kinds: kinds.map((kind) => ({ of: kind, ...tally(took.filter((one) => one.kind === kind)) })),
    accounts: accounts.map((account) => ({ of: account, ...tally(took.filter((one) => one.account === account)) })),
  };
}

function tally(took: readonly Took[]): Omit<Latency<never>, "of"> {
  const times = took.map(({ ms }) => ms);
  return { count: times.length, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}

function latencyOf(took: readonly Took[], lengthMs: number): Pick<Sample, "perSecond" | "p50Ms" | "p99Ms"> {
  const times = took.map(({ ms }) => ms);
  return {
    perSecond: (took.length / lengthMs) * 1000,
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
  };
}

function lineOf(atMs: number, sample: Sample, failed: number, isWarm: boolean): string {
  const held = [...sample.held].map(([name, { rssBytes, handles }]) => {
    const before = ((sample.uncollected.get(name)?.rssBytes ?? 0) - rssBytes) / 2 ** 20;
    const garbage = before < 1 ? "" : ` (+${before.toFixed(1)})`;
    return `${name} ${(rssBytes / 2 ** 20).toFixed(1)}${garbage} MiB/${handles}`;
  });
  const disk = [...sample.disk].map(([name, bytes]) => `${name} ${(bytes / 2 ** 20).toFixed(1)}`).join(", ");
  const pace = `${sample.perSecond.toFixed(1)}/s p50 ${sample.p50Ms.toFixed(1)} p99 ${sample.p99Ms.toFixed(1)} ms`;
  return `${(atMs / MINUTE_MS).toFixed(2)} min${isWarm ? "" : " (warm-up)"} │ ${pace}, failed ${failed} │ ${held.join(", ")} │ disk MiB: ${disk}`;
}
