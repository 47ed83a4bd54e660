/** Several isolates over one store, whose answers come in any order. */
import { describe, expect, it } from "vitest";
import { NotEndedError } from "../../plugins/kernel/reservations.ts";
import { createAllowances } from "./allowances.ts";
import type { Allowances } from "./allowances.ts";
import { createBook } from "./book.ts";
import type { Book } from "./book.ts";
import type { AllowanceStore, BucketSpec, Charge, Reservation } from "./types.ts";

const START = Math.floor(1_800_000_000_000 / 60_000) * 60_000;
const fixed = (limit: number): BucketSpec => ({ algorithm: "fixed-window", limit, windowMs: 60_000 });
const slots = (limit: number): BucketSpec => ({ algorithm: "concurrency", limit });
const charge = (subject: string, bucket: string, spec: BucketSpec, amount = 1): Charge => ({
  ...{ subject, bucket, unit: "cost" as const, spec, amount },
});

/** Numbers from 0 to 1, the same ones each time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return (state >>> 0) / 2 ** 32;
  };
}

function world(seed = 1, isolates = 3) {
  const random = seeded(seed);
  const books = new Map<string, Book>();
  const clock = { now: START };
  const counts = { takes: 0 };
  const faults = { take: () => false, lost: () => false };
  const bookOf = (subject: string): Book => {
    const book = books.get(subject) ?? createBook({ buckets: [], slots: [] });
    books.set(subject, book);
    return book;
  };
  const hop = async (): Promise<void> => {
    for (let turns = Math.floor(random() * 6); turns > 0; turns -= 1) await Promise.resolve();
  };
  const store: AllowanceStore = {
    async take(subject, groups) {
      counts.takes += 1;
      await hop();
      if (faults.take()) throw new Error("the store is away");
      const answers = bookOf(subject).take(groups, clock.now);
      await hop();
      if (faults.lost()) throw new Error("the answer was lost");
      return answers;
    },
    async settle(subject, settlements) {
      await hop();
      bookOf(subject).settle(settlements, clock.now);
    },
  };
  const all = Array.from({ length: isolates }, () => createAllowances(store, () => clock.now));
  const any = (): Allowances => all[Math.floor(random() * isolates)] ?? createAllowances(store);
  let count = 0;
  const reserve = async (charges: Charge[], isolate = any()) =>
    isolate.reserve(`r${(count += 1)}`, clock.now + 600_000, charges);
  return { random, all, any, reserve, clock, counts, faults, bookOf };
}

describe("reserving", () => {
  it.each([1, 2, 3, 4, 5])(
    "lets exactly 100 of 200 at once through a fixed window of 100, over isolates (%i)",
    async (seed) => {
      const { reserve } = world(seed);
      const decisions = await Promise.all(Array.from({ length: 200 }, () => reserve([charge("a", "w", fixed(100))])));
      expect(decisions.filter(({ ok }) => ok)).toHaveLength(100);
    },
  );

  it("leaves no trace of what one of several subjects refuses", async () => {
    const { reserve, all } = world();
    const both = () => reserve([charge("account", "w", fixed(1000)), charge("model", "w", fixed(10))]);
    const decisions = await Promise.all(Array.from({ length: 100 }, both));
    expect(decisions.filter(({ ok }) => ok)).toHaveLength(10);
    let rest = 0;
    // What an isolate has leased ahead, it uses itself.
    for (const isolate of all) {
      while ((await reserve([charge("account", "w", fixed(1000))], isolate)).ok) rest += 1;
    }
    for (const isolate of all) if ((await reserve([charge("account", "w", fixed(1000))], isolate)).ok) rest += 1;
    expect(rest).toBe(990);
  });

  it("asks nobody about what never fits", async () => {
    const { reserve, counts } = world();
    expect(await reserve([charge("a", "w", fixed(5)), charge("b", "w", fixed(0))])).toMatchObject({
      ...{ ok: false, by: 1, retryAfterMs: null },
    });
    expect(await reserve([charge("a", "s", slots(0))])).toMatchObject({ ok: false, by: 0, retryAfterMs: null });
    expect(counts.takes).toBe(0);
  });

  it("says which charge was refused, and what is left of the others", async () => {
    const { reserve } = world();
    await reserve([charge("b", "w", fixed(1))]);
    const decision = await reserve([charge("a", "w", fixed(5)), charge("b", "w", fixed(1))]);
    expect(decision).toMatchObject({
      ok: false,
      by: 1,
      retryAfterMs: 60_000,
      states: [{ remaining: 4 }, { remaining: 0 }],
    });
    expect(await reserve([charge("a", "w", fixed(5))])).toMatchObject({ ok: true, states: [{ remaining: 4 }] });
  });

  it("decides most without the store while plenty is left, and still no more than the limit", async () => {
    const { reserve, any, counts, clock } = world(1, 1);
    let passed = 0;
    for (let call = 0; call < 12_000; call += 1) {
      if (call % 20 === 0) clock.now += 50;
      if ((await reserve([charge("a", "w", fixed(10_000))], any())).ok) passed += 1;
      if (call === 7000) expect(counts.takes).toBeLessThan(200);
    }
    expect(passed).toBe(10_000);
  });

  it("asks nobody again for a moment after a refusal", async () => {
    const { reserve, any, counts, clock } = world(1, 1);
    const isolate = any();
    const spec = fixed(1);
    await reserve([charge("a", "w", spec)], isolate);
    for (let call = 0; call < 50; call += 1) expect((await reserve([charge("a", "w", spec)], isolate)).ok).toBe(false);
    expect(counts.takes).toBe(2);
    clock.now += 60_000;
    expect((await reserve([charge("a", "w", spec)], isolate)).ok).toBe(true);
  });

  it("uses no unit of a window that is over, and none after the clock went back", async () => {
    const { reserve, any, clock } = world(1, 1);
    const isolate = any();
    const spec = fixed(1000);
    for (let call = 0; call < 100; call += 1) await reserve([charge("a", "w", spec)], isolate);
    clock.now += 60_000;
    for (let call = 0; call < 1000; call += 1) expect((await reserve([charge("a", "w", spec)], isolate)).ok).toBe(true);
    expect((await reserve([charge("a", "w", spec)], isolate)).ok).toBe(false);
    clock.now -= 30_000;
    expect((await reserve([charge("a", "w", spec)], isolate)).ok).toBe(false);
  });

  it("refuses nobody's slot twice for an answer that was lost", async () => {
    const { reserve, faults } = world(1, 1);
    faults.lost = () => true;
    for (let call = 0; call < 5; call += 1) {
      await expect(reserve([charge("a", "s", slots(1)), charge("b", "s", slots(1))])).rejects.toThrow("lost");
    }
    faults.lost = () => false;
    expect((await reserve([charge("a", "s", slots(1)), charge("b", "s", slots(1))])).ok).toBe(true);
  });
});

describe("a refusal", () => {
  const both = [charge("full", "w", fixed(10), 8), charge("other", "w", fixed(10), 8)];

  /** Two subjects, of which one is full; the other's answers wait. */
  function hanging(isAnswered = true) {
    const books = new Map(["full", "other"].map((name) => [name, createBook({ buckets: [], slots: [] })]));
    const bookOf = (subject: string): Book => books.get(subject) ?? createBook({ buckets: [], slots: [] });
    const open = Promise.withResolvers<void>();
    const store: AllowanceStore = {
      async take(subject, groups) {
        const answers = bookOf(subject).take(groups, START);
        if (subject === "other") await open.promise;
        if (subject === "other" && !isAnswered) throw new Error("the answer was lost");
        return answers;
      },
      settle: async (subject, settlements) => void bookOf(subject).settle(settlements, START),
    };
    const ask = { bucket: "w", spec: fixed(10), need: 8, want: 0, held: false };
    bookOf("full").take([{ id: "before", expiresAt: START + 60_000, asks: [ask] }], START);
    const works: Promise<void>[] = [];
    const options = { refusedMs: 1, behind: (work: Promise<void>) => void works.push(work) };
    const allowances = createAllowances(store, () => START, options);
    const left = (subject: string): number => {
      const [answer] = bookOf(subject).take([{ id: "left", expiresAt: START, asks: [{ ...ask, need: 0 }] }], START);
      return answer?.ok === true ? (answer.leases[0]?.remaining ?? -1) : -1;
    };
    return { allowances, works, open, left };
  }

  it("waits for no other subject, which has back behind it what it gave", async () => {
    const { allowances, works, open, left } = hanging();
    const decision = await allowances.reserve("r", START + 60_000, both);
    expect(decision).toMatchObject({ ok: false, by: 0, retryAfterMs: 60_000 });
    // Nothing is known of the other one's: it isn't told to be used up.
    expect(decision.states.map(({ remaining }) => remaining)).toEqual([2, 10]);
    expect([works.length, left("other")]).toEqual([1, 2]);
    open.resolve();
    await Promise.all(works);
    expect([left("full"), left("other")]).toEqual([2, 10]);
  });

  it("is told where another subject fails, and nobody is charged for it", async () => {
    const { allowances, open, left } = hanging(false);
    open.resolve();
    const decision = await allowances.reserve("r", START + 60_000, both);
    expect(decision).toMatchObject({ ok: false, by: 0 });
    expect(left("full")).toBe(2);
  });

  it("waits while they are well, so that they have all back before it is told", async () => {
    const { allowances, works, open, left } = hanging();
    open.resolve();
    const decision = await allowances.reserve("r", START + 60_000, both);
    expect(decision).toMatchObject({ ok: false, by: 0, states: [{ remaining: 2 }, { remaining: 2 }] });
    expect([works.length, left("other")]).toEqual([0, 10]);
  });
});

describe("settling", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])("adds up after random cancels, repeats and lost answers (%i)", async (seed) => {
    const { random, any, reserve, faults, bookOf, clock } = world(seed);
    const limit = 100_000;
    const charges = (cost: number): Charge[] => [
      charge("account", "cost", fixed(limit), cost),
      charge("account", "slots", slots(40)),
      charge("model", "cost", fixed(limit), cost),
    ];
    let [used, lost] = [0, 0];
    faults.take = () => random() < 0.05;
    const open: { reservation: Reservation; cost: number }[] = [];
    const end = async ({ reservation, cost }: (typeof open)[number]): Promise<void> => {
      const real = random() < 0.4 ? 0 : Math.floor(random() * cost * 1.2);
      used += real;
      const call = { reservation, used: [real, 1, real] };
      await Promise.all(Array.from({ length: 1 + Math.floor(random() * 3) }, () => any().settle([call])));
    };
    await Promise.all(
      Array.from({ length: 300 }, async () => {
        const cost = 1 + Math.floor(random() * 100);
        const decision = await reserve(charges(cost)).catch(() => null);
        if (decision === null) lost += 1;
        else if (decision.ok) open.push({ reservation: decision.reservation, cost });
        const one = random() < 0.6 ? open.pop() : undefined;
        if (one !== undefined) await end(one);
      }),
    );
    for (const one of open.splice(0)) await end(one);
    expect(lost).toBeGreaterThan(0);
    for (const subject of ["account", "model"]) {
      expect(await leftOf(subject, bookOf(subject), clock.now)).toBe(limit - used);
    }
    faults.take = () => false;
    const decisions = await Promise.all(
      Array.from({ length: 60 }, () => reserve([charge("account", "slots", slots(40))])),
    );
    expect(decisions.filter(({ ok }) => ok)).toHaveLength(40);
  });
});

/** What is left of a subject's cost, by asking for it. */
async function leftOf(subject: string, book: Book, now: number): Promise<number> {
  const asks = [{ bucket: "cost", spec: fixed(100_000), need: 0, want: 0, held: false }];
  const [answer] = book.take([{ id: `left of ${subject}`, expiresAt: now, asks }], now);
  return answer?.ok === true ? (answer.leases[0]?.remaining ?? -1) : -1;
}

describe("ending", () => {
  it("names those whose subject is away, or hangs, and ends all others", async () => {
    const settled: string[] = [];
    const store: AllowanceStore = {
      take: () => Promise.reject(new Error("nobody reserves here")),
      async settle(subject, ends) {
        if (subject === "away") throw new Error("away");
        if (subject === "hangs") await new Promise(() => {});
        settled.push(...ends.map(({ id }) => `${subject} ${id}`));
      },
    };
    const ended = (id: string, ...subjects: string[]) => ({
      reservation: { id, expiresAt: START, taken: subjects.map((one) => ({ ...charge(one, "s", slots(1)), at: 0 })) },
      used: subjects.map(() => 0),
    });
    const ends = [ended("1", "well"), ended("2", "away"), ended("3", "well", "hangs"), ended("4", "well")];
    const error: unknown = await createAllowances(store, () => START, { settleMs: 50 })
      .settle(ends)
      .catch((thrown: unknown) => thrown);
    expect(error instanceof NotEndedError && [...error.ids].toSorted()).toEqual(["2", "3"]);
    expect(settled).toEqual(["well 1", "well 3", "well 4"]);
  });
});
