/** The rules of other systems, each where its documents are clearest, and that none of them goes below the bound. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { seededRandom } from "../../../src/scaling/simulation/random.ts";
import { simulate } from "../../../src/scaling/simulation/simulate.ts";
import { lowerBoundS } from "./bound.ts";
import { rivals } from "./candidates.ts";
import { Foresight } from "./rules/foresight.ts";
import { Keda } from "./rules/keda.ts";
import { Knative } from "./rules/knative.ts";
import { RayServe } from "./rules/ray.ts";
import { RunpodQueueDelay, RunpodRequestCount } from "./rules/runpod.ts";
import { SkyServe } from "./rules/skyserve.ts";
import { DEFAULT_SCENARIOS, readScenarios } from "./scenarios.ts";
import { firstMeanWorkS, meanWorkS, peakLoad, readTrace } from "./trace.ts";

const none = { nowS: 0, waiting: 0, oldestWaitS: 0, running: 0, ready: 0, booting: 0 };

describe("rules", () => {
  it("foresight has machines booted when work comes, spread over its window, and wakes in time", () => {
    const scenario = { name: "", bootS: 20, slots: 2, billingS: 1, pricePerHour: 1, lossPerHour: 0, seed: 1 };
    // One at first, whose machine boots, and eight of 10 s each at 1000 s.
    const requests = {
      atS: Float64Array.from([0, ...Array<number>(8).fill(1000)]),
      workS: Float64Array.from([5, ...Array<number>(8).fill(10)]),
    };
    const at = (nowS: number, windowS: number, deviations = 0): number =>
      new Foresight(requests, scenario, windowS, deviations).machines({ ...none, nowS });
    expect([0, 20, 24, 25, 979, 980, 1009, 1010].map((nowS) => at(nowS, 1))).toEqual([1, 1, 1, 0, 0, 4, 4, 0]);
    expect([979, 980, 989, 1009, 1028, 1029].map((nowS) => at(nowS, 20))).toEqual([0, 1, 2, 2, 1, 0]);
    expect(at(980, 1, 1)).toBe(6);
    const plan = new Foresight(requests, scenario, 1, 0);
    expect([plan.wakeAtS(30), plan.wakeAtS(1020)]).toEqual([980, Infinity]);
    const { waitsS } = simulate(requests, scenario, { policy: plan, everyS: 1 });
    expect([...waitsS]).toEqual([20, ...Array<number>(8).fill(0)]);
  });

  it("RunPod adds when the first has waited 4 s, and lets go after 5 s without work", () => {
    const rule = new RunpodQueueDelay(4, 5, 1);
    expect(rule.machines({ ...none, nowS: 10, ready: 1, running: 1, waiting: 3, oldestWaitS: 3 })).toBe(1);
    expect(rule.machines({ ...none, nowS: 12, ready: 1, running: 1, waiting: 3, oldestWaitS: 5 })).toBe(4);
    expect(rule.machines({ ...none, nowS: 30, ready: 4 })).toBe(0);
  });

  it("RunPod counts requests by worker", () => {
    expect(new RunpodRequestCount(4, 5, 1).machines({ ...none, waiting: 9, running: 1, ready: 1 })).toBe(3);
  });

  it("KEDA polls the lag, and at most doubles or adds four in 15 s", () => {
    const rule = new Keda(10, 30, 300, 300);
    expect(rule.machines({ ...none, waiting: 300 })).toBe(1);
    expect(rule.machines({ ...none, nowS: 15, waiting: 300, ready: 1 })).toBe(5);
    expect(rule.machines({ ...none, nowS: 20, waiting: 0, ready: 5 })).toBe(10);
  });

  it("Knative panics at twice what is there, and doesn't shrink while it does", () => {
    const rule = new Knative(1, 60, 30);
    for (let nowS = 0; nowS < 60; nowS += 2) rule.machines({ ...none, nowS, running: 1, ready: 1 });
    const panicked = rule.machines({ ...none, nowS: 60, waiting: 40, running: 1, ready: 1 });
    expect(panicked).toBeGreaterThan(5);
    expect(rule.machines({ ...none, nowS: 70, running: 1, ready: panicked })).toBeGreaterThanOrEqual(panicked);
  });

  it("SkyServe and Ray Serve wait with going up and down", () => {
    const sky = new SkyServe(0.5, 300, 1200);
    expect(sky.machines({ ...none, waiting: 1 })).toBe(1);
    for (let i = 0; i < 120; i += 1) sky.arrived(i / 2);
    expect(sky.machines({ ...none, nowS: 60, running: 5, ready: 1 })).toBe(1);
    const ray = new RayServe(2, 30, 30, 600);
    expect(ray.machines({ ...none, waiting: 9, ready: 1 })).toBe(1);
    expect(ray.machines({ ...none, nowS: 31, waiting: 9, ready: 1 })).toBe(5);
  });

  it("none goes below the lower bound of the p95 wait that it reaches", async () => {
    const random = seededRandom(5);
    const atS = Float64Array.from({ length: 900 }, () => random() * 1800).toSorted();
    const requests = { model: "m", atS, workS: Float64Array.from(atS, () => 1 + 9 * random()) };
    const scenario = { name: "s", bootS: 60, slots: 1, billingS: 1, pricePerHour: 1, lossPerHour: 0, seed: 1 };
    const setting = { scenario, meanWorkS: meanWorkS(requests), peakLoad: peakLoad(requests) };
    for (const candidate of rivals(setting).filter(({ isDefault }) => isDefault)) {
      const { waitsS, machineS } = simulate(requests, scenario, candidate.make(setting));
      const p95S = waitsS.toSorted()[Math.floor(waitsS.length * 0.95)] ?? 0;
      expect(machineS, candidate.rule).toBeGreaterThanOrEqual((await lowerBoundS(requests, scenario, p95S)) * 0.999);
    }
  });
});

describe("files", () => {
  const directory = mkdtempSync(join(tmpdir(), "edgeplane-trace-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  const write = (text: string): string => {
    const file = join(directory, `${crypto.randomUUID()}.csv`);
    writeFileSync(file, text);
    return file;
  };

  it("reads a trace by model", () => {
    const { models } = readTrace(write("at_s,model,work_s\n0,a,1\n1,b,2\n3,a,2\n"));
    expect(models.map(({ model, atS }) => [model, ...atS])).toEqual([
      ["a", 0, 3],
      ["b", 1],
    ]);
  });

  it("tells ours the work of the first predictions alone", () => {
    const requests = (later: number) => {
      const workS = Float64Array.from({ length: 3000 }, (_, i) => (i < 100 ? 2 : later));
      return { atS: workS.map((_, i) => i), workS };
    };
    expect([1, 50].map((later) => firstMeanWorkS(requests(later)))).toEqual([2, 2]);
    const short = { atS: Float64Array.from([0, 1, 2]), workS: Float64Array.from([3, 9, 9]) };
    expect(firstMeanWorkS(short)).toBe(3);
  });

  it.each([
    ["at,model\n0,a\n", "first line must be at_s,model,work_s"],
    ["at_s,model,work_s\n", "has no arrivals"],
    ["at_s,model,work_s\n0,a,0\n", ":2: must be a time, a model and a duration"],
    ["at_s,model,work_s\n5,a,1\n4,a,1\n", ":3: the lines must be sorted"],
  ])("says what is wrong with %j", (text, problem) => {
    expect(() => readTrace(write(text))).toThrow(problem);
  });

  it("knows the scenarios that it brings, and refuses wrong ones by name", () => {
    expect(readScenarios(DEFAULT_SCENARIOS).length).toBeGreaterThan(5);
    expect(() => readScenarios(write(JSON.stringify([{ name: "x" }])))).toThrow("bootS");
  });
});
