/**
 * Judges a soak by one stretch of its samples, and by a second one where the first drifted: a leak goes on, a step does
 * not. Where something else stalls the machine, hundreds of operations come at once; what they took stays with the
 * allocator, and waits tell of it, and neither says that something leaks.
 *
 * What drifted fails once it drifts in both stretches. Two steps of one thing fail, too: nothing tells them from a
 * leak. A process that ended, or an operation that failed, fails whatever comes after it.
 */
import type { Account } from "./accounts.ts";
import type { Kind } from "./operations.ts";
import { ended, judge, starved } from "./verdict.ts";
import type { Drift, Sample, Trend } from "./verdict.ts";

export type Latency<T> = { of: T; count: number; p50Ms: number; p99Ms: number };

/** What is judged together: samples, evenly spaced, and the waits of what ended meanwhile. */
export type Stretch = {
  samples: readonly Sample[];
  kinds: readonly Latency<Kind>[];
  accounts: readonly Latency<Account>[];
};

/** At most a second look; a third one would find its reasons, too. */
const MOST_STRETCHES = 2;

export type Judgement = {
  /** Of each stretch. */
  trends: Trend[][];
  /** Why the soak fails. */
  wrong: string[];
  /** What is beyond its limit and within `slack` of them, and what was beyond that in one stretch only. */
  notes: string[];
};

/**
 * Whether as much again must be judged: something drifted further than `slack` limits, and nothing is wrong already.
 */
export function mustGoOn(stretches: readonly Stretch[], slack: number, failed: number): boolean {
  if (failed > 0 || stretches.length >= MOST_STRETCHES) return false;
  if (ended(stretches.flatMap(({ samples }) => samples)).length > 0) return false;
  return stretches.some((stretch) => driftsOf(stretch, slack, []).length > 0);
}

/** Throws when a stretch has fewer than six samples. */
export function judgeAll(stretches: readonly Stretch[], slack: number): Judgement {
  const trends = stretches.map(({ samples }) => judge(samples).trends);
  const drifts = (by: number) => stretches.map((stretch) => driftsOf(stretch, by, trends[0] ?? []));
  const beyond = drifts(slack);
  const again = new Set(inAll(beyond));
  const all = beyond.flat();
  const wrong = all.filter(({ of }) => again.has(of)).map(({ text }) => text);
  const steps = all.filter(({ of }) => !again.has(of)).map(({ text }) => `a step, and not both times: ${text}`);
  const texts = new Set(all.map(({ text }) => text));
  const aims = drifts(1)
    .flat()
    .filter(({ text }) => !texts.has(text))
    .map(({ text }) => `aim unmet: ${text}`);
  return {
    trends,
    wrong: [...ended(stretches.flatMap(({ samples }) => samples)), ...wrong],
    notes: [...aims, ...steps],
  };
}

function driftsOf({ samples, accounts }: Stretch, slack: number, before: readonly Trend[]): Drift[] {
  return [...judge(samples, slack, before).drifts, ...starved(accounts, slack)];
}

/** What drifted in every stretch. */
function inAll(drifts: readonly (readonly Drift[])[]): string[] {
  const [first = [], ...later] = drifts;
  return first.map(({ of }) => of).filter((of) => later.every((some) => some.some((drift) => drift.of === of)));
}
