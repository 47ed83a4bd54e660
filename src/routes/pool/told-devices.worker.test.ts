import { expect, it } from "vitest";
import { admin, testEnv } from "../../../test/worker/edge-harness.ts";
import { PROTOCOL } from "../../contract/channel.ts";
import type { EventsRequest } from "../../contract/event.ts";
import type { AttemptUsage, UsageReport } from "../../contract/usage.ts";
import { PoolIdentitySchema } from "../../fleet/types.ts";
import { notePool } from "../../registry/pools.ts";
import { receiveEvents } from "./receive-events.ts";

const used = (devices: number): AttemptUsage => ({ device: "A100", devices, queuedMs: 0, runMs: 1, gpuUs: 1000 });
const claim = { id: "p", token: "t" };
const report: UsageReport = { ...claim, attempt: 1, outcome: "stopped", usage: used(64) };

/** On how many devices the attempts ran that shards are told of: those of events, and those of reports. */
async function believed(token: string, session: string, told: number[]): Promise<unknown[]> {
  const reached: { events: EventsRequest["events"]; reports: UsageReport[] } = { events: [], reports: [] };
  const pool = PoolIdentitySchema.parse({ poolTokenId: token, lanes: ["default"], mayRegisterModels: false });
  const events = told.map((devices, seq) => ({
    ...{ ...claim, seq, type: "succeeded" as const, output: "x", metrics: {}, usage: used(devices) },
  }));
  const shard = {
    async reportUsage(_env: unknown, reports: UsageReport[]) {
      reached.reports = reports;
      return [];
    },
    async deliverEvents(_env: unknown, request: EventsRequest) {
      reached.events = request.events;
      return { verdicts: [], cancel: [] };
    },
    screenedClaims: async () => ({ known: [], unknown: [], later: [] }),
  };
  await receiveEvents(testEnv, shard as never, { session, events, usage: [report] }, pool);
  return [...reached.events, ...reached.reports].map((one) => ("usage" in one ? one.usage?.devices : null));
}

it("believes an attempt on no more devices than the pool's session said that it has", async () => {
  const [token, other] = await Promise.all(
    ["two", "other"].map(async (name) => String((await admin("/pool-tokens", { name, lanes: ["default"] }))["id"])),
  );
  const gpu = { kind: "cuda" as const, name: "A100", memoryBytes: null };
  const hello = { type: "hello" as const, protocol: PROTOCOL, pool: "p", version: "0", lanes: ["default"], models: [] };
  const devices = ["0", "1"].map((id) => ({ id, ...gpu }));
  await notePool(testEnv, token ?? "", { ...hello, session: "session-two", devices });
  expect(await believed(token ?? "", "session-two", [1, 2, 64])).toEqual([1, 2, 2, 2]);
  // One that is noted no more, and another token's session.
  expect(await believed(token ?? "", "session-none", [1, 3])).toEqual([1, 2, 2]);
  expect(await believed(other ?? "", "session-two", [2])).toEqual([1, 1]);
});
