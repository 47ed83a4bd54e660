/**
 * A soak's report as text: of each stretch the trends and the latency of each kind of operation, and what drifted; what
 * did by less than `slack` limits is no fault, and neither is what did in one of two stretches only.
 */
import { table } from "../../../test/bench/lib/stats.ts";
import type { SoakReport } from "./soak.ts";
import { judgeAll } from "./judgement.ts";
import type { Latency, Stretch } from "./judgement.ts";
import { percent } from "./verdict.ts";
import type { Trend } from "./verdict.ts";

export function reportOf(report: SoakReport, slack: number): { text: string; isGood: boolean } {
  const { trends, wrong: drifted, notes } = judgeAll(report.stretches, slack);
  const failures = report.failed === 0 ? [] : [`${report.failed} operations failed`, ...report.problems];
  const wrong = [...drifted, ...failures];
  const minutes = (ms: number) => (ms / 60_000).toFixed(1);
  const text = [
    `\n${report.completed} operations completed, ${report.failed} failed, ${report.putOff} put off; ${report.pace.toFixed(1)}/s of ` +
      `${report.capacity.toFixed(1)}/s; warm-up ${minutes(report.warmUpMs)} min\n`,
    ...report.stretches.flatMap((stretch, index) => [
      ...tablesOf(index === 0 ? "after the warm-up" : "as long again", stretch, trends[index] ?? []),
      "",
    ]),
    ...[...notes, ...wrong].map((line) => `soak: ${line}`),
    ...(notes.length + wrong.length === 0 ? ["soak: nothing drifted, nothing failed."] : []),
  ].join("\n");
  return { text, isGood: wrong.length === 0 };
}

function tablesOf(when: string, { kinds, accounts }: Stretch, trends: readonly Trend[]): string[] {
  return [
    table(
      [when, "first third", "last third", "change", "most"],
      trends.map((trend) => [
        `${trend.name}, ${trend.unit}`,
        trend.first.toFixed(1),
        trend.last.toFixed(1),
        percent(trend),
        trend.most.toFixed(1),
      ]),
    ),
    "",
    latencies("operation", kinds),
    "",
    latencies("account", accounts),
  ];
}

function latencies(what: string, rows: readonly Latency<string>[]): string {
  return table(
    [what, "count", "p50 ms", "p99 ms"],
    rows.map(({ of, count, p50Ms, p99Ms }) => [of, String(count), p50Ms.toFixed(1), p99Ms.toFixed(1)]),
  );
}
