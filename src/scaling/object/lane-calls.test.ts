import { expect, it, vi } from "vitest";
import type { Env } from "../../env.ts";
import type { ScalerCore } from "./core.ts";
import { LaneCalls } from "./lane-calls.ts";

it("calls other lanes again though one never answers", async () => {
  vi.useFakeTimers();
  try {
    const called: string[] = [];
    const demand = (lane: string) => {
      called.push(lane);
      return lane === "sick" ? new Promise<never>(() => {}) : Promise.resolve({ life: "a", n: 1, versions: [] });
    };
    const env = { LANE: { getByName: () => ({ demand }) } } as unknown as Env;
    const waiting = ["sick"];
    const core = { isOn: true, laneNames: { waiting: () => waiting }, demand: () => {} } as unknown as ScalerCore;
    const calls = new LaneCalls(env, core);
    void calls.callWaiting();
    await vi.advanceTimersByTimeAsync(10_000);
    waiting.push("well");
    void calls.callWaiting();
    expect(called).toContain("well");
  } finally {
    vi.useRealTimers();
  }
});
