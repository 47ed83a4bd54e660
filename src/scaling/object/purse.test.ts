import { expect, it } from "vitest";
import { memorySql } from "../../../test/unit/memory-sql.ts";
import { MachineBook } from "./machine-book.ts";
import type { Machine } from "./machine.ts";
import { createClock } from "./clock.ts";
import { LedgerSchema, Purse } from "./purse.ts";
import { ScalerStore } from "./rows.ts";
import { offer } from "../../../test/unit/scaling/world.ts";

const HOUR_MS = 3_600_000;
const DECEMBER = Date.UTC(2026, 11, 1);

function machine(seenAtMs: number): Machine {
  const ignore = () => {};
  const deps = {
    clock: createClock(() => 0),
    save: ignore,
    remove: ignore,
    ended: ignore,
    lost: ignore,
    unmetered: ignore,
  };
  const book = new MachineBook({ ...deps, booted: ignore }, []);
  const offered = { ...offer("small", { billingIncrementS: 60, pricePerHourNano: 60e9 }), provider: "fake" };
  return { ...book.want(offered, "", null), seenAtMs };
}

it("lets each month bear its part of a machine, also once the machine is gone and after a restart", () => {
  const store = new ScalerStore(memorySql());
  const purse = new Purse(store);
  const one = machine(DECEMBER - 2 * HOUR_MS);
  expect(purse.spentNano([one], DECEMBER - HOUR_MS)).toBe(60e9);
  expect(purse.spentNano([one], DECEMBER + HOUR_MS / 2)).toBe(30e9);
  purse.ended(one, DECEMBER + HOUR_MS);
  expect(purse.spentNano([], DECEMBER + HOUR_MS)).toBe(60e9);
  expect(new Purse(store).spentNano([], DECEMBER - 1)).toBe(120e9);
  expect(purse.spentNano([], DECEMBER + HOUR_MS, "other")).toBe(0);
});

it("counts a machine that was first seen by a clock that was ahead from now on", () => {
  const one = machine(DECEMBER + 40 * 24 * HOUR_MS);
  expect(new Purse(new ScalerStore(memorySql())).spentNano([one], DECEMBER)).toBe(1e9);
});

it("reads what the release before has stored", () => {
  expect(LedgerSchema.parse({ month: "2026-11", endedNano: { cpu: 5 } })).toEqual({
    months: { "2026-11": { cpu: 5 } },
  });
});
