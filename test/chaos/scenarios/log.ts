/** A log that refuses, loses and repeats. A record is only a hint: whatever becomes of it, the shard hands its prediction on again. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Scenario } from "../harness/scenario.ts";

const REFUSES_MS = 30_000;
/** The lane tries a log that failed again after 2 s at most. */
const REFUSED_LIMIT_MS = 3000;
const LOSES_MS = 5000;
const LOST_SHARE = 0.05;
/** What nobody claimed is handed on again after 30 s, by an alarm that is due within 5 s of its time. */
const LOST_LIMIT_MS = 37_000;

export const log: readonly Scenario[] = [
  {
    name: "the log refuses records for 30 s",
    model: "echo",
    async disturb(world, load) {
      await load.reached(0.2);
      const beganAt = Date.now();
      await world.setLogFaults({ refuse_produce_ms: REFUSES_MS });
      await sleep(REFUSES_MS - (Date.now() - beganAt));
      return [{ what: "the log refusing", beganAt, endedAt: beganAt + REFUSES_MS, limitMs: REFUSED_LIMIT_MS }];
    },
  },
  {
    name: "the log loses records",
    model: "echo",
    settleMs: 90_000,
    async disturb(world, load) {
      await load.reached(0.2);
      const beganAt = Date.now();
      await world.setLogFaults({ drop_probability: LOST_SHARE });
      await sleep(LOSES_MS);
      await world.setLogFaults({});
      const endedAt = Date.now();
      await load.reached(1);
      return [{ what: "the log losing", beganAt, endedAt, limitMs: LOST_LIMIT_MS, concerns: "accepted" }];
    },
  },
  {
    name: "every record is delivered three times",
    model: "echo",
    async prepare(world) {
      await world.setLogFaults({ duplicate: 3 });
      return () => world.setLogFaults({});
    },
    disturb: async () => [],
  },
];
