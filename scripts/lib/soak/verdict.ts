/**
 * Judges a soak by its trend. What was sampled after the warm-up is cut in three, and the medians of the first and of
 * the last third are compared, so that neither a burst nor a dip counts; of handles the fewest, since connections only
 * ever add to them.
 */
import { median } from "../../../test/bench/lib/stats.ts";
import type { Held } from "./watch.ts";

const limits = {
  /** Resident memory after a collection of garbage may grow by this share, over all of the judged time. */
  rssGrowth: 0.05,
  /** … and always by so much: allocators hand memory out in steps. */
  rssSlackBytes: 2 * 2 ** 20,
  /**
   * What predictions and files take of the disk may grow by this share, over all of the judged time: both end with the
   * account's retention.
   */
  diskGrowth: 0.2,
  /** … and always by so much: a write-ahead log grows to 4 MiB before it starts again. */
  diskSlackBytes: 8 * 2 ** 20,
  /**
   * The fewest open handles of a third may grow by so many, or by this share: connections come and go with the load.
   */
  handles: 5,
  handlesGrowth: 0.2,
  /** The 99th percentile may become so many times what it was. */
  p99Ratio: 1.5,
  /** … and always by so much: a collection of garbage takes so long on a small machine. */
  p99SlackMs: 50,
};

export type Sample = {
  /** Resident memory as it was before the collection of garbage. */
  uncollected: ReadonlyMap<string, Held>;
  held: ReadonlyMap<string, Held>;
  /** Bytes on disk, by what they are. */
  disk: ReadonlyMap<string, number>;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
};

export type Trend = { name: string; unit: "MiB" | "handles" | "ms" | "/s"; first: number; last: number; most: number };
/** Something that moved further than it may: what it is, and a sentence for people. */
export type Drift = { of: string; text: string };
export type Verdict = { trends: Trend[]; drifts: Drift[] };

const MIB = 2 ** 20;
/** Deliveries of webhooks are kept for days and the log up to a size: they may grow. */
const endsWithRetention = ["predictions", "files"];
/** The middles of the first and of the last third lie two thirds of the judged time apart. */
const WHOLE_OF_THIRDS = 3 / 2;
/** Fewer make no thirds worth comparing. */
const LEAST_SAMPLES = 6;

/**
 * `samples` are evenly spaced ones after the warm-up; each limit counts `slack` times. Given the trends of as long a
 * time `before`, what adds up (memory, disk, handles) may grow by as much as it might then: a share of what has grown
 * meanwhile would let a steady leak pass. Throws when there are fewer than six samples.
 */
export function judge(samples: readonly Sample[], slack = 1, before: readonly Trend[] = []): Verdict {
  if (samples.length < LEAST_SAMPLES)
    throw new Error(`${samples.length} samples are too few to judge by; run it longer`);
  const third = Math.floor(samples.length / 3);
  const trend = (
    name: string,
    unit: Trend["unit"],
    values: readonly number[],
    typical: (values: readonly number[]) => number = median,
  ): Trend => ({
    name,
    unit,
    first: typical(values.slice(0, third)),
    last: typical(values.slice(-third)),
    most: Math.max(...values),
  });
  const baseOf = ({ name, first }: Trend) => before.find((earlier) => earlier.name === name)?.first ?? first;
  const trends: Trend[] = [];
  const drifts: Drift[] = [];
  for (const [name, held] of heldByName(samples)) {
    if (isOther(held)) continue;
    const rss = trend(
      `RSS of ${name}`,
      "MiB",
      held.map((one) => (one?.rssBytes ?? 0) / MIB),
    );
    const handles = trend(
      `handles of ${name}`,
      "handles",
      held.map((one) => one?.handles ?? 0),
      least,
    );
    const uncollected = trend(
      `${rss.name} before collection`,
      "MiB",
      samples.map((sample) => (sample.uncollected.get(name)?.rssBytes ?? 0) / MIB),
    );
    trends.push(rss, uncollected, handles);
    const mostRss = slack * Math.max(baseOf(rss) * limits.rssGrowth, limits.rssSlackBytes / MIB);
    if ((rss.last - rss.first) * WHOLE_OF_THIRDS > mostRss) drifts.push(growth(rss));
    const mostHandles = slack * Math.max(limits.handles, baseOf(handles) * limits.handlesGrowth);
    if (handles.last - handles.first > mostHandles)
      drifts.push({ of: handles.name, text: `${handles.name} grew from ${handles.first} to ${handles.last}` });
  }
  for (const name of new Set(samples.flatMap(({ disk }) => [...disk.keys()]))) {
    const disk = trend(
      `disk of ${name}`,
      "MiB",
      samples.map((sample) => (sample.disk.get(name) ?? 0) / MIB),
    );
    trends.push(disk);
    const most = slack * Math.max(baseOf(disk) * limits.diskGrowth, limits.diskSlackBytes / MIB);
    if (endsWithRetention.includes(name) && (disk.last - disk.first) * WHOLE_OF_THIRDS > most)
      drifts.push(growth(disk));
  }
  const p99 = trend(
    "p99",
    "ms",
    samples.map(({ p99Ms }) => p99Ms),
  );
  trends.push(
    trend(
      "operations",
      "/s",
      samples.map(({ perSecond }) => perSecond),
    ),
    trend(
      "p50",
      "ms",
      samples.map(({ p50Ms }) => p50Ms),
    ),
    p99,
  );
  if (p99.last - p99.first > slack * Math.max(p99.first * (limits.p99Ratio - 1), limits.p99SlackMs)) {
    const text = `p99 rose from ${p99.first.toFixed(1)} to ${p99.last.toFixed(1)} ms (${percent(p99)})`;
    drifts.push({ of: p99.name, text });
  }
  return { trends, drifts };
}

/**
 * Quiet accounts that waited longer than the greedy one, which comes first: more than half as long again, and more than
 * 50 ms longer, each `slack` times. What the greedy one asks for too much, it must wait for alone.
 */
export function starved(accounts: readonly { of: string; p99Ms: number }[], slack = 1): Drift[] {
  const [greedy, ...quiet] = accounts;
  if (greedy === undefined) return [];
  const most = greedy.p99Ms + slack * Math.max(greedy.p99Ms * (limits.p99Ratio - 1), limits.p99SlackMs);
  return quiet
    .filter(({ p99Ms }) => p99Ms > most)
    .map(({ of, p99Ms }) => ({
      of: `wait of ${of}`,
      text: `${of} waited for ${greedy.of}: p99 ${p99Ms.toFixed(1)} ms beside ${greedy.p99Ms.toFixed(1)} ms`,
    }));
}

/** The processes that were not the same from the first of these samples to the last. */
export function ended(samples: readonly Sample[]): string[] {
  return [...heldByName(samples)]
    .filter(([, held]) => isOther(held))
    .map(([name]) => `${name} ended, or was started again`);
}

/** What each process held at every sample; undefined where it was not there. */
function heldByName(samples: readonly Sample[]): Map<string, (Held | undefined)[]> {
  const names = new Set(samples.flatMap(({ held }) => [...held.keys()]));
  return new Map([...names].map((name) => [name, samples.map(({ held }) => held.get(name))]));
}

function isOther(held: readonly (Held | undefined)[]): boolean {
  return new Set(held.map((one) => one?.pid)).size > 1;
}

function growth(trend: Trend): Drift {
  const { name, first, last } = trend;
  return { of: name, text: `${name} grew from ${first.toFixed(1)} to ${last.toFixed(1)} MiB (${percent(trend)})` };
}

function least(values: readonly number[]): number {
  return Math.min(...values);
}

/** How far the last third lies from the first, such as `+3.1 %`. */
export function percent({ first, last }: Trend): string {
  const share = first === 0 ? 0 : (last / first - 1) * 100;
  return `${share < 0 ? "" : "+"}${share.toFixed(1)} %`;
}
