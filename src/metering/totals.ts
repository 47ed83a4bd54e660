/**
 * What all accounts used together, by day, model, device and phase: one object, to which each account's meter tells
 * what its records add up to, shortly before it stores them away. Every row of records is a part with the row's number,
 * and the object drops a part whose number it has: a meter may tell again, in other company, whatever was not answered.
 * Numbers follow the clock, in milliseconds: they say when the meter had the records, and so which rents held. The
 * rent stands in place of the API key.
 */
import { dayOf } from "./calendar.ts";
import type { MeterRows, RawRow } from "./meter-rows.ts";
import type { MeterRecord } from "./record.ts";
import { pinOf } from "./rents.ts";
import type { RentOf } from "./rents.ts";
import { addSums, dimensionsOf, noSums, sumsOf } from "./sums.ts";
import type { DaySums } from "./sums.ts";

/** The name of the object. No account of the registry has this id. */
export const ALL_ACCOUNTS = "all accounts";

/** What one row of an account's records adds up to. */
export type Part = { n: number; days: DaySums[] };
/** The object as meters see it. */
export type RemoteTotals = { takeTotals(account: string, parts: readonly Part[]): Promise<void> };

export function partsOf(rows: readonly RawRow[]): Part[] {
  return rows.map(({ n, lines }) => ({ n, days: daysOf(lines) }));
}

/** `rentsAt`: what devices cost at a time. */
type Context = { now: number; rentsAt: (atMs: number) => RentOf };

/** Adds what is new; to be called as a whole or not at all. */
export function takeParts(rows: MeterRows, account: string, parts: readonly Part[], { now, rentsAt }: Context): void {
  const source = `account ${account}`;
  const highest = rows.highest([source]).get(source) ?? -1;
  const fresh = parts.filter(({ n }) => n > highest);
  if (fresh.length === 0) return;
  rows.addTotals(added(fresh.flatMap(({ n, days }) => days.map((one) => pinned(one, rentsAt(n))))));
  rows.setHighest(new Map([[source, Math.max(...fresh.map(({ n }) => n))]]), now);
}

function daysOf(lines: string): DaySums[] {
  const records = lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as MeterRecord);
  return added(
    records.map((record) => ({
      at: dayOf(record.at),
      group: { ...dimensionsOf(record), key: "", deployment: "" },
      sums: { ...sumsOf(record), units: {} },
    })),
  );
}

function pinned({ at, group, sums }: DaySums, rentOf: RentOf): DaySums {
  return { at, group: { ...group, key: pinOf(rentOf(group.device)) }, sums };
}

/** One of each day and group. */
function added(all: readonly DaySums[]): DaySums[] {
  const byGroup = new Map<string, DaySums>();
  for (const { at, group, sums } of all) {
    const key = JSON.stringify([at, group.model, group.key, group.device, group.phase, group.currency]);
    const one = byGroup.get(key) ?? { at, group, sums: noSums() };
    addSums(one.sums, sums);
    byGroup.set(key, one);
  }
  return [...byGroup.values()];
}
