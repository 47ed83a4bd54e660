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

for (const pinned of [true, false])
  test(`what another program took of a card for a while is free again once it ended (pinned: ${pinned})`, async () => {
    let others = 0;
    let ours = 0;
    const placer = new HostPlacer({
      clock: noTimers,
      devices: () => [{ id: "0", kind: "cuda", memoryBytes: 24 * GIB, problem: null, usedBytes: others + ours }],
      look: async () => placer.looked(),
      onBlocked() {},
    });
    let wantsSecond = 0;
    const first = modelOf("first", 4 * GIB, pinned, () => 1);
    const second = modelOf("second", 10 * GIB, false, () => wantsSecond);
    placer.looked();
    placer.add(first);
    placer.add(second);
    await turn();
    expect(first.instances[0]?.placement).toBe("idle");
    ours = 4 * GIB;
    placer.looked();
    await turn();
    // Another pool's model comes, is seen, and ends.
    others = 18 * GIB;
    placer.looked();
    await turn();
    others = 0;
    placer.looked();
    await turn();
    nowMs += 1_800_000;
    placer.looked();
    await turn();
    expect(placer.refusal(second)).toBe(null);
    wantsSecond = 1;
    placer.changed();
    await turn();
    expect([first.instances[0]?.retired, second.instances[0]?.placement]).toEqual([0, "idle"]);
  });

test("what another program had of a card before the pool's first process came is free again once it ended", async () => {
  let others = 18 * GIB;
  let ours = 0;
  const placer = new HostPlacer({
    clock: noTimers,
    devices: () => [{ id: "0", kind: "cuda", memoryBytes: 24 * GIB, problem: null, usedBytes: others + ours }],
    look: async () => placer.looked(),
    onBlocked() {},
  });
  let wantsSecond = 0;
  const first = modelOf("first", 4 * GIB, false, () => 1);
  const second = modelOf("second", 10 * GIB, false, () => wantsSecond);
  placer.looked();
  placer.add(first);
  placer.add(second);
  await turn();
  expect(first.instances[0]?.placement).toBe("idle");
  [ours, others] = [4 * GIB, 0];
  for (let looks = 0; looks < 3; looks += 1) {
    placer.looked();
    await turn();
  }
  wantsSecond = 1;
  placer.changed();
  await turn();
  expect(second.instances[0]?.placement).toBe("idle");
});
