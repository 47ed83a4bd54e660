/** What is asked of an account's usage, and how the meter answers it. */
import type { Sql, SqlValue } from "../shard/sql.ts";
import { addUnits, countable, dimensionNames } from "./sums.ts";
import type { DimensionName, Dimensions, Sums } from "./sums.ts";

export const spans = ["hour", "day", "month"] as const;
export type Span = (typeof spans)[number];

/** `from` is part of it, `to` isn't; both begin a span. `after`: the last group of the page before. */
export type UsageRequest = {
  from: number;
  to: number;
  by: Span;
  group: readonly DimensionName[];
  /** What the groups must have. */
  where: Partial<Record<DimensionName, string>>;
  limit: number;
  after: readonly (string | number)[] | null;
};

/** A group of one span; a dimension by which is not grouped is null. */
export type UsageGroup = { at: number; currency: string } & Record<DimensionName, string | null> & Sums;
/** `next`: where the next page begins; null: there is none. */
export type UsagePage = { groups: UsageGroup[]; next: (string | number)[] | null };

const START_OF: Record<Span, string> = {
  hour: "at",
  day: "at",
  month: "CAST(strftime('%s', at / 1000, 'unixepoch', 'start of month') AS INTEGER) * 1000",
};

/** `TOTAL`, as `SUM` throws where a sum is beyond 64 bits. A page reads no row before the span that it begins in. */
export function queryUsage(sql: Sql, { from, to, by, group, where, limit, after }: UsageRequest): UsagePage {
  const columns: (keyof Dimensions)[] = [...dimensionNames.filter((name) => group.includes(name)), "currency"];
  const filters = dimensionNames.flatMap((name) => (where[name] === undefined ? [] : [[name, where[name]] as const]));
  const place = after !== null && after.length === columns.length + 1 ? after : null;
  const begin = Math.max(from, Number(place?.[0] ?? 0));
  const bindings: SqlValue[] = [by === "hour" ? "h" : "d", begin, to, ...filters.map(([, value]) => value)];
  const behind = place === null ? "" : `HAVING (start, ${columns.join(", ")}) > (${place.map(() => "?").join(", ")})`;
  const rows = sql(
    `SELECT ${START_OF[by]} AS start, ${columns.join(", ")}, TOTAL(requests) AS requests, TOTAL(billed) AS billed,
       TOTAL(queued_ms) AS queued_ms, TOTAL(run_ms) AS run_ms, TOTAL(gpu_us) AS gpu_us, TOTAL(instance_us) AS instance_us,
       TOTAL(cost_nano) AS cost_nano, json_group_array(units) AS units
     FROM sums WHERE span = ? AND at >= ? AND at < ? ${filters.map(([name]) => `AND ${name} = ?`).join(" ")}
     GROUP BY start, ${columns.join(", ")} ${behind} ORDER BY start, ${columns.join(", ")} LIMIT ?`,
    ...bindings,
    ...(place ?? []),
    limit + 1,
  );
  const groups = rows.slice(0, limit).map((row): UsageGroup => {
    const text = (name: keyof Dimensions) => (columns.includes(name) ? String(row[name]) : null);
    const number = (name: string) => countable(Number(row[name]));
    const units: Record<string, number> = {};
    for (const one of JSON.parse(String(row["units"])) as string[])
      addUnits(units, JSON.parse(one) as Record<string, number>);
    return {
      ...{ at: number("start"), currency: String(row["currency"]) },
      ...{ model: text("model"), key: text("key"), device: text("device"), deployment: text("deployment") },
      ...{ phase: text("phase"), requests: number("requests"), billed: number("billed") },
      ...{ queuedMs: number("queued_ms"), runMs: number("run_ms"), gpuUs: number("gpu_us") },
      ...{ instanceUs: number("instance_us"), costNano: number("cost_nano"), units },
    };
  });
  const last = rows.length > limit ? groups.at(-1) : undefined;
  return { groups, next: last === undefined ? null : [last.at, ...columns.map((name) => last[name] ?? "")] };
}
