import { expect, it } from "vitest";
import { defaultScaling } from "../../contract/scaling.ts";
import { ClassState } from "./class-state.ts";
import { MachineSchema } from "./machine.ts";

const machine = MachineSchema.parse({
  ...{ id: "m0123456789ab", hardware: "cpu", provider: "real", offer: "small", host: null, zone: null, isSpot: false },
  ...{ devices: 1, pricePerHourNano: 1, billingIncrementS: 3600, state: "ready", why: "", sinceMs: 0, wantedAtMs: 0 },
  ...{ seenAtMs: 0, connectedAtMs: 0, readyAtMs: 0, session: "s", notBeforeMs: null, unmeteredFromMs: null },
});

/** What is drained, of one machine that nothing needs, when it runs so many predictions of 4 s. */
function drained(running: number, nowS: number): readonly string[] {
  const state = new ClassState("cpu", 0);
  const { plan } = state.decide({
    ...{ nowS, nowMs: nowS * 1000, settings: defaultScaling, offers: [], machines: [machine], needs: [], idleS: 0 },
    ...{ spent: { ofClass: 0, inAll: 0 }, bootMs: 60_000, isAvoided: () => false, standing: [] },
    losses: { perHour: () => 0, lostAtMs: () => null },
    onMachine: () => ({ models: [], unfit: [], running, runningS: running * 4 }),
  });
  return plan.drain;
}

it("drains a busy machine so early that it likely begins no other increment, and an idle one a little before", () => {
  expect(drained(1, 3555)).toEqual([]);
  expect(drained(1, 3580)).toEqual([machine.id]);
  expect(drained(8, 3565)).toEqual([machine.id]);
  expect(drained(0, 3580)).toEqual([]);
  expect(drained(0, 3590)).toEqual([machine.id]);
});
