import { describe, expect, it } from "vitest";
import { createHandClock } from "../../test/unit/hand-clock.ts";
import { createMeter } from "./meter.ts";
import { unitsOf } from "./units.ts";

const GPU = { id: "0", kind: "cuda" as const, name: "NVIDIA H200", memoryBytes: null };
const OTHER = { ...GPU, id: "1" };

function setUp() {
  const { clock, pass } = createHandClock(1000);
  const meter = createMeter(clock);
  meter.devices([GPU, OTHER]);
  const { attempts } = meter;
  const grant = (token: string, attempt = 1) => attempts.granted({ id: `id of ${token}`, token, attempt });
  return { attempts, pass, grant, ledger: meter.ledger };
}

describe("an attempt", () => {
  it("takes its share of a batch, from its begin to its end; its claim may begin another", () => {
    const { attempts, pass, grant } = setUp();
    grant("a");
    grant("b");
    pass(7);
    attempts.begin("a", ["0"], 3);
    attempts.begin("b", ["0"], 1);
    pass(10);
    expect(attempts.report("a", "bisected")).toEqual({
      ...{ id: "id of a", token: "a", attempt: 1, outcome: "bisected" },
      usage: { device: "NVIDIA H200", queuedMs: 7, runMs: 10, gpuUs: 7500 },
    });
    pass(5);
    expect(attempts.take("b")).toEqual({ device: "NVIDIA H200", queuedMs: 7, runMs: 15, gpuUs: 7500 });
    attempts.counted("a", 2);
    attempts.begin("a", ["0"], 3);
    pass(2);
    expect(attempts.report("a", "lost")).toMatchObject({ attempt: 2, usage: { queuedMs: 5, runMs: 2, gpuUs: 2000 } });
  });

  it("is told once, and not at all where it did not begin", () => {
    const { attempts, grant } = setUp();
    grant("a");
    expect([attempts.take("a"), attempts.report("a", "superseded"), attempts.take("unknown")]).toEqual(Array(3));
    attempts.begin("a", ["0"], 1);
    attempts.begin("a", ["1"], 1);
    expect(attempts.take("a")).toMatchObject({ gpuUs: 0 });
    expect(attempts.take("a")).toBeUndefined();
  });

  it("has all the devices of its instance", () => {
    const { attempts, pass, grant } = setUp();
    grant("a");
    attempts.begin("a", ["0", "1"], 1);
    pass(10);
    expect(attempts.take("a")).toEqual({ device: "NVIDIA H200", devices: 2, queuedMs: 0, runMs: 10, gpuUs: 20_000 });
  });

  it("has no device while its process is gone that died before its turn, and goes on as the same one", () => {
    const { attempts, pass, grant } = setUp();
    grant("a");
    pass(3);
    attempts.begin("a", ["0"], 1);
    pass(10);
    attempts.off("a");
    pass(90);
    attempts.begin("a", ["0"], 1);
    pass(5);
    expect(attempts.take("a")).toEqual({ device: "NVIDIA H200", queuedMs: 3, runMs: 15, gpuUs: 15_000 });
  });

  it("has the units that its model recorded in it, and none of the attempt before", () => {
    const { attempts, grant } = setUp();
    grant("a");
    attempts.begin("a", ["0"], 1);
    attempts.recorded("a", { image_count: 1 });
    attempts.recorded("a", { image_count: 2, predict_time: 3 });
    expect(attempts.take("a")?.units).toEqual({ image_count: 2 });
    attempts.begin("a", ["0"], 1);
    expect(attempts.take("a")).not.toHaveProperty("units");
  });

  it("is remembered until it ended, here and at the edge", () => {
    const { attempts, grant } = setUp();
    for (const token of ["waits", "runs"]) grant(token);
    attempts.begin("runs", ["0"], 1);
    attempts.ended("waits");
    attempts.ended("runs");
    expect(attempts.size).toBe(1);
    expect(attempts.report("runs", "superseded")).toBeDefined();
    expect(attempts.size).toBe(0);
  });
});

it("counts as units what is a number of a model's own, of as many as are kept", () => {
  const odd = { text: "9", negative: -1, "of a space": 1, "1st": 1, nothing: null, list: [1], total_time: 2 };
  expect(unitsOf(odd)).toBeUndefined();
  const many = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`unit_${index}`, index / 2]));
  expect(unitsOf({ ...odd, ...many })).toEqual(Object.fromEntries(Object.entries(many).slice(0, 16)));
});
