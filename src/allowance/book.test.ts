import fc from "fast-check";
import { expect, it } from "vitest";
import { createBook } from "./book.ts";
import type { Book, Stored, Written } from "./book.ts";
import type { Ask, BucketSpec, Group, WindowSpec } from "./types.ts";

const START = 1_800_000_000_000;
const fixed = (limit: number, windowMs = 60_000): WindowSpec => ({ algorithm: "fixed-window", limit, windowMs });
const slots = (limit: number): BucketSpec => ({ algorithm: "concurrency", limit });
const ask = (bucket: string, spec: BucketSpec, need = 1, more: Partial<Ask> = {}): Ask => ({
  ...{ bucket, spec, need, want: 0, held: false },
  ...more,
});
let count = 0;
const group = (...asks: Ask[]): Group => ({ id: `r${(count += 1)}`, expiresAt: START + 600_000, asks });
const nothing: Stored = { buckets: [], slots: [] };

function take(book: Book, now: number, ...asks: Ask[]): boolean {
  return book.take([group(...asks)], now)[0]?.ok ?? false;
}

it("decides a group as one: what one ask refuses, no other is charged for", () => {
  const book = createBook(nothing);
  const [narrow, wide] = [ask("narrow", fixed(1)), ask("wide", fixed(100))];
  expect(take(book, START, wide, narrow)).toBe(true);
  for (let refused = 0; refused < 5; refused += 1)
    expect(take(book, START, wide, ask("s", slots(9)), narrow)).toBe(false);
  const [answer] = book.take([group(wide, ask("s", slots(9)))], START);
  expect(answer).toMatchObject({ ok: true, leases: [{ remaining: 98 }, { remaining: 8 }] });
});

it("says who refused and when to come back, and null for what never fits", () => {
  const book = createBook(nothing);
  take(book, START, ask("b", fixed(1)));
  const endsInMs = 60_000 - (START % 60_000);
  expect(book.take([group(ask("a", fixed(5)), ask("b", fixed(1)))], START)).toMatchObject([
    { ok: false, by: 1, retryAfterMs: endsInMs },
  ]);
  expect(book.take([group(ask("c", fixed(5), 6))], START)).toMatchObject([{ ok: false, retryAfterMs: null }]);
  expect(book.take([group(ask("d", slots(0)))], START)).toMatchObject([{ ok: false, retryAfterMs: null }]);
});

it("counts the end of a reservation once, however often it comes", () => {
  const book = createBook(nothing);
  const first = group(ask("w", fixed(10), 8), ask("s", slots(1)));
  book.take([first], START);
  const end = {
    id: first.id,
    expiresAt: first.expiresAt,
    back: [{ bucket: "w", spec: fixed(10), at: atOf(START), amount: 5 }],
    slots: [],
  };
  for (let call = 0; call < 3; call += 1) book.settle([end], START);
  expect(take(book, START, ask("w", fixed(10), 7), ask("s", slots(1)))).toBe(true);
  expect(take(book, START, ask("w", fixed(10), 1))).toBe(false);
  book.settle([end], START);
  expect(take(book, START, ask("s", slots(1)))).toBe(false);
});

it("counts an end once that comes when its reservation is long over, and again and again", () => {
  const book = createBook(nothing);
  const day = fixed(10, 86_400_000);
  const late = group(ask("w", day, 10));
  book.take([late], START);
  const back = [{ bucket: "w", spec: day, at: atOf(START, 86_400_000), amount: 4 }];
  const end = { id: late.id, expiresAt: late.expiresAt, back, slots: [] };
  // As a shard does whose answers are lost.
  for (let atMs = START + 700_000; atMs < START + 3_700_000; atMs += 30_000) book.settle([end], atMs);
  expect(take(book, START + 3_700_000, ask("w", day, 5))).toBe(false);
  expect(take(book, START + 3_700_000, ask("w", day, 4))).toBe(true);
});

it("holds nothing for a reservation whose end came first", () => {
  const book = createBook(nothing);
  const late = group(ask("s", slots(1)));
  book.settle([{ id: late.id, expiresAt: late.expiresAt, back: [], slots: [] }], START);
  book.take([late], START);
  expect(take(book, START, ask("s", slots(1)))).toBe(true);
});

it("gives back what a reservation held that nobody settled, when it expires, and its late end nothing more", () => {
  const book = createBook(nothing);
  const day = fixed(10, 86_400_000);
  const lost = group(ask("money", day, 10, { held: true }), ask("s", slots(1)));
  book.take([lost], START);
  expect(take(book, START + 599_999, ask("money", day))).toBe(false);
  expect(take(book, START + 600_000, ask("money", day, 6), ask("s", slots(1)))).toBe(true);
  const back = [{ bucket: "money", spec: day, at: atOf(START, 86_400_000), amount: 10 }];
  book.settle([{ id: lost.id, expiresAt: lost.expiresAt, back, slots: [] }], START + 600_001);
  expect(take(book, START + 600_002, ask("money", day, 5))).toBe(false);
});

it("gives more than is needed only while a quarter of the limit is left", () => {
  const book = createBook(nothing);
  const given = (want: number) => {
    const [answer] = book.take([group(ask("w", fixed(1000), 1, { want }))], START);
    return answer?.ok === true ? answer.leases[0]?.granted : 0;
  };
  expect(given(1_000_000)).toBe(1 + Math.floor(999 / 16));
  expect(given(5)).toBe(6);
  for (let used = 68; used < 760; used += 1) given(0);
  expect(given(100)).toBe(1);
});

it("never grants more for a restart, takes a sixteenth away at most, and writes 17 rows at most", () => {
  const limits = fc.integer({ min: 1, max: 5000 });
  const steps = fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.constant("restart" as const)), {
    maxLength: 400,
  });
  const algorithms = fc.constantFrom("fixed-window" as const, "sliding-window" as const);
  fc.assert(
    fc.property(limits, steps, algorithms, (limit, actions, algorithm) => {
      const spec: WindowSpec = { algorithm, limit, windowMs: 60_000 };
      const rows = new Map<string, Written>();
      let [book, granted, restarts, writes] = [createBook(nothing), 0, 0, 0];
      const takeSome = (need: number): boolean => {
        const taken = take(book, START, ask("w", spec, need));
        for (const row of book.takeUnwritten()) {
          rows.set(row.bucket, structuredClone(row));
          writes += 1;
        }
        if (taken) granted += need;
        return taken;
      };
      for (const action of actions) {
        if (action !== "restart") takeSome(action);
        else {
          book = createBook({ buckets: structuredClone([...rows.values()]), slots: [] });
          restarts += 1;
        }
      }
      while (takeSome(1)) continue;
      expect(granted).toBeLessThanOrEqual(limit);
      expect(granted).toBeGreaterThanOrEqual(limit - restarts * Math.ceil(limit / 16));
      expect(writes).toBeLessThanOrEqual(17 + restarts);
    }),
    { numRuns: 60 },
  );
});

it.each(["fixed-window", "sliding-window", "token-bucket"] as const)(
  "loses nothing of a %s by a restart after a rest, however many there are",
  (algorithm) => {
    const window = { limit: 1000, windowMs: 86_400_000 };
    const spec: WindowSpec =
      algorithm === "token-bucket" ? { ...window, algorithm, refill: 1 } : { ...window, algorithm };
    const rows = new Map<string, Written>();
    const write = (written: readonly Written[]): void => {
      for (const row of written) rows.set(row.bucket, structuredClone(row));
    };
    for (let call = 0; call < 40; call += 1) {
      const book = createBook({ buckets: structuredClone([...rows.values()]), slots: [] });
      expect(take(book, START, ask("w", spec, 3))).toBe(true);
      write(book.takeUnwritten());
      const back = [{ bucket: "w", spec, at: rows.get("w")?.counter.at ?? 0, amount: 1 }];
      book.settle([{ id: `r${call}`, expiresAt: START + 1000, back, slots: [] }], START);
      write(book.takeInexact(START));
      expect(book.takeInexact(START)).toEqual([]);
    }
    const last = createBook({ buckets: structuredClone([...rows.values()]), slots: [] });
    expect(take(last, START, ask("w", spec, 1000 - 2 * 40 + 1))).toBe(false);
    expect(take(last, START, ask("w", spec, 1000 - 2 * 40))).toBe(true);
  },
);

it("never grants a token bucket more for a restart", () => {
  const spec: WindowSpec = { algorithm: "token-bucket", limit: 100, windowMs: 60_000, refill: 60 };
  const steps = fc.array(
    fc.record({ afterMs: fc.nat(3000), need: fc.integer({ min: 1, max: 20 }), restart: fc.boolean() }),
  );
  fc.assert(
    fc.property(steps, (actions) => {
      const rows = new Map<string, Written>();
      let [book, granted, now] = [createBook(nothing), 0, START];
      for (const { afterMs, need, restart } of actions) {
        now += afterMs;
        if (restart) book = createBook({ buckets: structuredClone([...rows.values()]), slots: [] });
        if (take(book, now, ask("b", spec, need))) granted += need;
        for (const row of book.takeUnwritten()) rows.set(row.bucket, structuredClone(row));
      }
      expect(granted).toBeLessThanOrEqual(100 + (now - START) / 1000);
    }),
    { numRuns: 60 },
  );
});

it("keeps what is held over a restart, and lets it expire", () => {
  const book = createBook(nothing);
  const first = group(ask("s", slots(1)));
  book.take([first], START);
  const reborn = createBook({ buckets: [], slots: book.slots() });
  expect(take(reborn, START + 1, ask("s", slots(1)))).toBe(false);
  reborn.settle([{ id: first.id, expiresAt: first.expiresAt, back: [], slots: [] }], START + 2);
  expect(take(reborn, START + 3, ask("s", slots(1)))).toBe(true);
  expect(take(createBook({ buckets: [], slots: book.slots() }), START + 600_000, ask("s", slots(1)))).toBe(true);
});

it("forgets what is over, and nothing else", () => {
  const book = createBook(nothing);
  take(book, START, ask("short", fixed(10, 20_000)), ask("long", fixed(10, 86_400_000)));
  expect(book.forget(START + 60_000)).toEqual({ gone: ["short"], left: 1 });
  expect(book.forget(START + 3 * 86_400_000)).toEqual({ gone: ["long"], left: 0 });
});

function atOf(now: number, windowMs = 60_000): number {
  return Math.floor(now / windowMs) * windowMs;
}
