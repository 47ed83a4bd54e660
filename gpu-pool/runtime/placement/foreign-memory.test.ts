/** What other programs had of a card for a while, and gave back. */
import { expect, test } from "vitest";
import type { Clock } from "../../scheduling/clock.ts";
import { HostPlacer } from "./host-placer.ts";
import type { Placeable, PlaceableInstance } from "./placeable.ts";

const GIB = 1024 ** 3;
let nowMs = 0;
const noTimers: Clock = { nowMs: () => nowMs, after: () => () => {} };

class One implements PlaceableInstance {
  readonly name: string;
  devices: readonly string[] = [];
  placement: PlaceableInstance["placement"] = "none";
  readyAtMs = 0;
  lastUsedMs = 0;
  retired = 0;
  constructor(name: string) {
    this.name = name;
  }
  start(devices: readonly string[]): void {
    this.devices = devices;
    this.placement = "idle";
  }
  retire(): void {
    this.retired += 1;
    this.placement = "leaving";
  }
}

function modelOf(name: string, bytes: number, pinned: boolean, wanted: () => number): Placeable & { instances: One[] } {
  const instances = [new One(`${name}#0`)];
  return {
    needs: { model: name, kind: "cuda", count: 1, devicesPerInstance: 1, devices: null, pinned },
    memoryHint: bytes,
    instances,
    loadMs: 1000,
    startable: () => instances.filter(({ placement }) => placement === "none").length,
    wanted,
    demand: () => 1,
  };
}
const turn = async (): Promise<void> => {
  for (let n = 0; n < 20; n += 1) await Promise.resolve();
};

/** A card of 24 GiB, of which others have some, and two models of 4 and of 10 GiB; the first is on it. */
async function hostWith(card: { others: number; ours: number }, pinned: boolean) {
  const wants = { second: 0 };
  const placer = new HostPlacer({
    clock: noTimers,
    devices: () => [
      { id: "0", kind: "cuda", memoryBytes: 24 * GIB, problem: null, usedBytes: card.others + card.ours },
    ],
    look: async () => placer.looked(),
    onBlocked() {},
  });
  const first = modelOf("first", 4 * GIB, pinned, () => 1);
  const second = modelOf("second", 10 * GIB, false, () => wants.second);
  const look = async (): Promise<void> => {
    placer.looked();
    await turn();
  };
  placer.looked();
  placer.add(first);
  placer.add(second);
  await turn();
  expect(first.instances[0]?.placement).toBe("idle");
  return { placer, wants, first, second, look };
}

test.each([true, false])("another program's for a while is free once it ended (pinned: %s)", async (pinned) => {
  const card = { others: 0, ours: 0 };
  const { placer, wants, first, second, look } = await hostWith(card, pinned);
  card.ours = 4 * GIB;
  await look();
  // Another pool's model comes, is seen, and ends.
  card.others = 18 * GIB;
  await look();
  card.others = 0;
  await look();
  nowMs += 1_800_000;
  await look();
  expect(placer.refusal(second)).toBe(null);
  wants.second = 1;
  placer.changed();
  await turn();
  expect([first.instances[0]?.retired, second.instances[0]?.placement]).toEqual([0, "idle"]);
});

test("another program's from before the pool's first process is free once it ended", async () => {
  const card = { others: 18 * GIB, ours: 0 };
  const { placer, wants, second, look } = await hostWith(card, false);
  [card.ours, card.others] = [4 * GIB, 0];
  for (let looks = 0; looks < 3; looks += 1) await look();
  wants.second = 1;
  placer.changed();
  await turn();
  expect(second.instances[0]?.placement).toBe("idle");
});
