/**
 * A soak's report as text: the trends, the latency of each kind of operation, and what drifted; what did by less than
 * `slack` limits is no fault.
 */
import { table } from "../../../test/bench/lib/stats.ts";
import type { SoakReport } from "./soak.ts";
import type { Latency } from "./soak.ts";
import { judge, percent, starved } from "./verdict.ts";

export function reportOf(report: SoakReport, slack: number): { text: string; isGood: boolean } {
  const { trends, drifts: grown } = judge(report.samples);
  const beyondAim = [...grown, ...starved(report.accounts)];
  const drifts = [...judge(report.samples, slack).drifts, ...starved(report.accounts, slack)];
  const unmet = beyondAim.filter((line) => !drifts.includes(line)).map((line) => `aim unmet: ${line}`);
  const failures = report.failed === 0 ? [] : [`${report.failed} operations failed`, ...report.problems];
  const wrong = [...drifts, ...failures];
  const minutes = (ms: number) => (ms / 60_000).toFixed(1);
  const text = [
    `\n${report.completed} operations completed, ${report.failed} failed, ${report.putOff} put off; ${report.pace.toFixed(1)}/s of ` +
      `${report.capacity.toFixed(1)}/s; warm-up ${minutes(report.warmUpMs)} min\n`,
    table(
      ["after the warm-up", "first third", "last third", "change", "most"],
      trends.map((trend) => [
        `${trend.name}, ${trend.unit}`,
        trend.first.toFixed(1),
        trend.last.toFixed(1),
        percent(trend),
        trend.most.toFixed(1),
      ]),
    ),
    "",
    latencies("operation", report.kinds),
    "",
    latencies("account", report.accounts),
    "",
    ...[...unmet, ...wrong].map((line) => `soak: ${line}`),
    ...(unmet.length + wrong.length === 0 ? ["soak: nothing drifted, nothing failed."] : []),
  ].join("\n");
  return { text, isGood: wrong.length === 0 };
}

function latencies(what: string, rows: readonly Latency<string>[]): string {
  return table(
    [what, "count", "p50 ms", "p99 ms"],
    rows.map(({ of, count, p50Ms, p99Ms }) => [of, String(count), p50Ms.toFixed(1), p99Ms.toFixed(1)]),
  );
}
