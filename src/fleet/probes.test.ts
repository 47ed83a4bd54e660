import { expect, it } from "vitest";
import { createProbes } from "./probes.ts";

const claims = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => ({ id: `p${from + index}`, token: "t" }));

it("keeps what was asked within a lease, the newest of it, and never more than its bound", () => {
  let now = 0;
  const probes = createProbes({ now: () => now, keptMs: 100, maxClaims: 10 });
  const idsOf = () => probes.lately().flatMap((some) => some.map(({ id }) => id));
  for (let from = 0; from < 30; from += 3) probes.sent(claims(from, 3));
  expect(idsOf()).toEqual(claims(21, 9).map(({ id }) => id));
  probes.sent(claims(100, 25));
  expect(idsOf()).toEqual(claims(115, 10).map(({ id }) => id));
  now = 99;
  probes.sent(claims(200, 0));
  expect(idsOf()).toHaveLength(10);
  now = 100;
  expect(idsOf()).toEqual([]);
});
