import { pino } from "pino";
import { expect, test } from "vitest";
import { EndedClaims } from "./delivery/ended-claims.ts";
import { HandBacks } from "./hand-backs.ts";
import type { HandBacksOptions } from "./hand-backs.ts";

test("what a life that was killed had in a process is lost; what only waited there is none of its suspects", () => {
  const released: string[] = [];
  const handBacks = new HandBacks({
    claims: new Map(),
    endedClaims: new EndedClaims(),
    delivery: { open() {}, restore: () => ({ tokens: new Set(["kept"]), bad: [] }) },
    reporter: { released: ({ token }: { token: string }, reason: string) => released.push(`${token} ${reason}`) },
    settled: async () => {},
  } as unknown as HandBacksOptions);
  const left = [
    { id: "a", token: "ran" },
    { id: "b", token: "kept" },
    { id: "c", token: "waited", waits: true as const },
  ];
  handBacks.sendLeftovers(left, pino({ level: "silent" }));
  expect(released).toEqual(["ran lost", "waited no_room"]);
});
