/** How much of a machine a prediction is taken to take, by what lanes tell, and what machines are asked for. */
import { expect, it } from "vitest";
import type { SessionDemand, VersionDemand } from "../demand.ts";
import { Appetite } from "./appetite.ts";
import { Lanes } from "./lanes.ts";

const kind = { bootS: 60, billingS: 1, lossPerHour: 0 };
const nothing = { waiting: 0, inFlight: 0, ended: 0, endedMs: 0 };
type Told = typeof nothing & { session?: Partial<SessionDemand> };

/** One lane and one machine, told of each second. `told`: of each second since the start. */
function workAfter(seconds: number, told: (atS: number) => Told, other: (atS: number) => number = () => 0) {
  const lanes = new Lanes();
  const appetite = new Appetite({ model: "local/own", version: "v" }, 10, kind);
  for (let atS = 0; atS <= seconds; atS += 1) {
    const { waiting, inFlight, ended, endedMs, session } = told(atS);
    const others = other(atS);
    const startNow = Math.max(0, 1 - inFlight - others);
    const own = { session: "s", inFlight, startNow, readyInMs: 0, problem: null };
    const versions = [
      demand("local/own", { ...own, ...session }, { waiting, ended, endedMs }),
      demand("local/other", { ...own, inFlight: others }, { waiting: 0, ended: 0, endedMs: 0 }),
    ];
    for (const { demand, heard, shares } of lanes.hear("default", { life: "one", n: atS + 1, versions }))
      if (demand.model === "local/own") appetite.hear(atS, demand, heard, shares);
  }
  return appetite.workS;
}

function demand(model: string, session: SessionDemand, { waiting, ended, endedMs }: Omit<Told, "inFlight">) {
  return {
    ...{ model, version: "v", waiting: { high: 0, normal: waiting, low: 0 }, waitingMs: 0 },
    ...{ inFlight: session.inFlight, arrived: 0, started: 0, waitedMs: 0, ended, endedMs, sessions: [session] },
  } satisfies VersionDemand;
}

/** Each takes 4 s, and so does each of the others. */
const workS = 4;
const endedBy = (count: number) => ({ ended: count, endedMs: count * workS * 1000 });

it("takes for its own work nothing of the time in which others have the machine that it waits for", () => {
  // It has every third turn of the machine.
  const turnOf = (atS: number) => Math.floor(atS / workS) % 3;
  const told = (atS: number): Told => ({
    ...{ waiting: 1, inFlight: Number(turnOf(atS) === 0) },
    ...endedBy(Math.floor((atS + 2 * workS) / (3 * workS))),
  });
  const others = (atS: number) => Number(turnOf(atS) !== 0);
  expect(workAfter(600, told, others)).toBeCloseTo(workS, 5);
});

it.each([0, 2])("counts the end that lets the last one that waits begin, which came %d s after the first", (laterS) => {
  // Every 20 s comes one, and then two together.
  const told = (atS: number): Told => {
    const [round, inS] = [Math.floor(atS / 20), atS % 20];
    const ended = Math.min(3, Math.floor(inS / workS));
    const waiting = inS >= laterS ? Math.max(0, 2 - ended) : 0;
    return { waiting, inFlight: Number(ended < 3), ...endedBy(3 * round + ended) };
  };
  expect(workAfter(600, told)).toBeCloseTo(workS, 5);
});

it("takes more than its device time for what a machine was seen to serve slower", () => {
  // A batch of 8 has the device for 2 s, of which each has an eighth, and takes 4 s in all.
  const told = (atS: number): Told => {
    const ended = 8 * Math.floor(atS / 4);
    return { waiting: 20, inFlight: 8, ended, endedMs: ended * 250, session: { startNow: 0 } };
  };
  expect(workAfter(600, told)).toBeGreaterThan(3.8);
  expect(workAfter(600, told)).toBeLessThan(4.2);
});

it("believes that a machine is slow once it was seen for as long as twenty predictions, and not before", () => {
  const told = (atS: number): Told => ({ waiting: 1, inFlight: 1, ...endedBy(Math.floor(atS / (2 * workS))) });
  expect(workAfter(10 * workS, told)).toBeCloseTo(workS, 5);
  expect(workAfter(200 * workS, told)).toBeCloseTo(2 * workS, 0);
});

it("keeps machines of its class that it doesn't ask for, and asks for what it has in other classes", () => {
  const appetite = new Appetite({ model: "local/own", version: "v" }, 10, kind);
  const session = { session: "s", inFlight: 1, startNow: 0, readyInMs: 0, problem: null };
  const three = { ...demand("local/own", session, nothing), inFlight: 3 };
  appetite.hear(0, three, { arrived: 3, started: 3, waitedMs: 0, ended: 0, endedMs: 0 }, 1);
  const bounds = { targetS: 10, patienceS: 900, min: 0, max: 8, memoryBytes: 0 };
  const [none, some] = [
    { ready: 0, booting: 0 },
    { ready: 2, booting: 1 },
  ];
  const own = appetite.need(30, { own: some, others: none, standing: 0 }, bounds, kind);
  expect(own.machines).toBeLessThanOrEqual(1);
  expect(own.keptMachines).toBe(3);
  const spread = appetite.need(31, { own: none, others: some, standing: 0 }, bounds, kind);
  expect(spread.machines).toBe(3);
});

it("takes a share of a machine while it only keeps one, so that others keep the same", () => {
  const appetite = new Appetite({ model: "local/own", version: "v" }, 10, kind);
  const session = { session: "s", inFlight: 0, startNow: 1, readyInMs: 0, problem: null };
  const bounds = { targetS: 10, patienceS: 900, min: 0, max: 8, memoryBytes: 0 };
  const served = { own: { ready: 3, booting: 0 }, others: { ready: 0, booting: 0 }, standing: 0 };
  const running = { ...demand("local/own", { ...session, inFlight: 1 }, nothing), inFlight: 1 };
  appetite.hear(0, running, { arrived: 1, started: 1, waitedMs: 0, ended: 0, endedMs: 0 }, 1);
  appetite.need(0, served, bounds, kind);
  appetite.hear(1, demand("local/own", session, nothing), { ...nothing, arrived: 0, started: 0, waitedMs: 0 }, 1);
  let need = appetite.need(1, served, bounds, kind);
  for (let atS = 2; atS < 3600 && appetite.reasons.asked > 0; atS += 1) need = appetite.need(atS, served, bounds, kind);
  expect([appetite.reasons.asked, need.keptMachines]).toEqual([0, 1]);
  expect(need.machines).toBeGreaterThan(0);
  expect(need.machines).toBeLessThan(0.1);
});
