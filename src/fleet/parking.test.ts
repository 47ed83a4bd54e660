import { afterEach, expect, it, vi } from "vitest";
import type { EventsRequest } from "../contract/event.ts";
import type { ParkedOutcome } from "../contract/parked.ts";
import type { Env } from "../env.ts";
import { Parking } from "./parking.ts";

const SESSION = "session-parks";
const AT = { prefix: "edgeplane:", probe: "probe" };

afterEach(() => {
  vi.unstubAllGlobals();
});

/** Redis, which holds one parked request; `read` lets the lookups that wait for it go on. */
function setUp({ slow = false } = {}) {
  const body = JSON.stringify({ session: SESSION, events: [] });
  const replies = [{ result: ["1", body] }, { result: -2 }];
  const reading: (() => void)[] = [];
  vi.stubGlobal("fetch", async (_url: string, { body: commands }: { body: string }) => {
    if (slow && commands.includes("hgetall")) await new Promise<void>((resolve) => void reading.push(resolve));
    return Response.json(replies);
  });
  const received: EventsRequest[] = [];
  const told: [n: number, outcome: ParkedOutcome][] = [];
  const parking = new Parking({
    env: { KV_REST_URL: "http://redis.test", KV_REST_TOKEN: "token" } as Env,
    receive(request) {
      received.push(request);
      return Promise.resolve({ verdicts: [], cancel: [] });
    },
    tell(n, outcome) {
      told.push([n, outcome]);
      return true;
    },
  });
  const read = () => {
    for (const resolve of reading.splice(0)) resolve();
  };
  return { parking, received, told, reading, read };
}

it("collects what its pool noticed while the pool's hello was dealt with, without being told again", async () => {
  const { parking, received, told } = setUp();
  await parking.noticed(1);
  expect(received).toEqual([]);
  parking.open(SESSION, AT);
  await expect.poll(() => told).toEqual([[1, { outcome: "answered", reply: { verdicts: [], cancel: [] } }]]);
  expect(received).toHaveLength(1);
});

it("lets nobody go on who asks while it collects, and looks once more for who asks last", async () => {
  const { parking, received, reading, read } = setUp({ slow: true });
  parking.open(SESSION, AT);
  const over: string[] = [];
  const look = async (name: string, isLast: boolean) => {
    await parking.look(isLast);
    over.push(name);
  };
  const looks = [look("first", false), look("second", false), look("last", true)];
  await expect.poll(() => reading.length).toBe(1);
  expect(over).toEqual([]);
  read();
  await expect.poll(() => reading.length).toBe(1);
  expect([received.length, over]).toEqual([1, ["first", "second"]]);
  read();
  await Promise.all(looks);
  expect(over).toEqual(["first", "second", "last"]);
});
