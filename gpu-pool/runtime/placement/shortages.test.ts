/** What stays known of a model that got no place, from one plan to the next. */
import { expect, test } from "vitest";
import { planPlacement } from "../../scheduling/placement/plan.ts";
import type { Host, PlacedInstance } from "../../scheduling/placement/types.ts";
import type { Placeable, PlaceableInstance } from "./placeable.ts";
import { Shortages } from "./shortages.ts";

const CARDS = ["0", "1", "2"];

/** A model of three processes, of which the first is on the first card; others are on the next `taken` ones. */
function setUp() {
  const shortages = new Shortages();
  const needs = { model: "more", kind: "cuda" as const, count: 3, devicesPerInstance: 1, devices: null, pinned: false };
  const at = { readyAtMs: 0, lastUsedMs: 0, start() {}, retire() {} };
  const instances = CARDS.map((card, index): PlaceableInstance => ({
    ...{ name: `more#${index}`, devices: [card], placement: index === 0 ? "busy" : "none", ...at },
  }));
  const placeable: Placeable = {
    ...{ needs, instances, memoryHint: 10, loadMs: 1000, startable: () => 2, wanted: () => 1, demand: () => 1 },
  };
  const on = (model: string, device: string): PlacedInstance => ({
    ...{ id: `${model}#${device}`, model, devices: [device], bytes: 10, state: "busy", readyAtMs: 0, lastUsedMs: 0 },
  });
  return {
    shortages,
    placeable,
    plan(wanted: number, taken: number): boolean {
      const model = { ...needs, bytes: 10, least: 0, alone: false, wantedSinceMs: 0, startable: 2, loadMs: 1000 };
      const devices = CARDS.map((id) => ({
        id,
        kind: "cuda" as const,
        memoryBytes: 10,
        foreignBytes: 0,
        problem: null,
      }));
      const others = CARDS.slice(1, 1 + taken).map((card) => on("other", card));
      const models = [
        { ...model, wanted, demand: 1 },
        { ...model, model: "other", wanted: 0, demand: 1 },
      ];
      const host: Host = { devices, models, instances: [on("more", "0"), ...others] };
      return shortages.planned([placeable], host, planPlacement(host, 1000), 1000).isNews;
    },
  };
}

test("who was blocked has as many places as there are, wanted or not, until it could have all", () => {
  const { shortages, placeable, plan } = setUp();
  const known = () => [shortages.isAny, shortages.isBlocked(placeable), shortages.placesFor(placeable)];
  expect([plan(1, 2), ...known()]).toEqual([false, false, false, Infinity]);
  expect([plan(3, 2), ...known()]).toEqual([true, true, true, 0]);
  expect([plan(1, 2), ...known()]).toEqual([true, true, false, 0]);
  expect([plan(1, 2), ...known()]).toEqual([false, true, false, 0]);
  expect([plan(1, 1), ...known()]).toEqual([true, true, false, 1]);
  expect([plan(1, 2), ...known()]).toEqual([true, true, false, 0]);
  expect([plan(1, 0), ...known()]).toEqual([true, false, false, Infinity]);
});
