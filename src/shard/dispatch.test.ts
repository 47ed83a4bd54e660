import { expect, it, vi } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { toData } from "../allowance/reservation-data.ts";
import type { Env } from "../env.ts";
import { ShardCore } from "./core.ts";
import { createDispatch } from "./dispatch.ts";
import { defaultRules } from "./rules.ts";

const publish = { topics: new Set<never>(), withOutput: false, problem: null };

it("feeds the index in pieces that it takes, and all of them when it was away", async () => {
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => 0, newToken: () => "token" });
  const fed = new Set<string>();
  const sizes: number[] = [];
  let isAway = true;
  let tries = 0;
  const index = {
    feed: async (_account: string, entries: { id: string }[]) => {
      tries += 1;
      if (isAway) throw new Error("away");
      sizes.push(entries.length);
      for (const { id } of entries) fed.add(id);
    },
  };
  const env = { INDEX: { getByName: () => index } } as unknown as Env;
  const dispatch = createDispatch(env, core, publish);
  for (let count = 0; count < 1200; count += 1) core.submit(submission(`p${count}`));
  core.outgoing.hands.clear();
  dispatch.kick();
  await expect.poll(() => tries).toBeGreaterThan(0);
  expect(dispatch.isPending()).toBe(true);
  isAway = false;
  await expect.poll(() => fed.size).toBe(1200);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(500);
  await expect.poll(() => dispatch.isPending()).toBe(false);
});

it("looks after grants that leave one after the other together, half a second after the last at the earliest", async () => {
  vi.useFakeTimers();
  try {
    const core = new ShardCore(memorySql(), { rules: defaultRules, now: Date.now, newToken: () => "token" });
    const env = { POOL: { getByName: () => ({ grant: async () => true }) } } as unknown as Env;
    const unanswered: { ids: string[]; at: number }[] = [];
    const beganAt = Date.now();
    const dispatch = createDispatch(env, core, publish, (claims) => {
      unanswered.push({ ids: claims.map(({ id }) => id), at: Date.now() - beganAt });
    });
    for (const id of ["a", "b", "c"]) {
      core.submit(submission(id), { outcome: "reserved", session: `of-${id}` });
      core.outgoing.feeds.clear();
      dispatch.kick();
      await vi.advanceTimersByTimeAsync(30);
    }
    await vi.advanceTimersByTimeAsync(1000);
    expect(unanswered).toEqual([
      { ids: ["a", "b"], at: 550 },
      { ids: ["c"], at: 610 },
    ]);
  } finally {
    vi.useRealTimers();
  }
});

it("looks after grants that leave after the clock was set back", async () => {
  vi.useFakeTimers();
  try {
    const core = new ShardCore(memorySql(), { rules: defaultRules, now: Date.now, newToken: () => "token" });
    const env = { POOL: { getByName: () => ({ grant: async () => true }) } } as unknown as Env;
    const unanswered: string[] = [];
    const dispatch = createDispatch(env, core, publish, (claims) => unanswered.push(...claims.map(({ id }) => id)));
    for (const id of ["before", "behind"]) {
      core.submit(submission(id), { outcome: "reserved", session: id });
      core.outgoing.feeds.clear();
      dispatch.kick();
      await vi.advanceTimersByTimeAsync(1000);
      vi.setSystemTime(Date.now() - 600_000);
    }
    expect(unanswered).toEqual(["before", "behind"]);
  } finally {
    vi.useRealTimers();
  }
});

it("has forgotten what was removed while it was on its way to be remembered", async () => {
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => 0, newToken: () => "token" });
  const known = new Set<string>();
  const arrival = Promise.withResolvers<void>();
  const puts: string[] = [];
  const responses = {
    put: async (entries: { key: string }[]) => {
      for (const { key } of entries) puts.push(key);
      await arrival.promise;
      for (const { key } of entries) known.add(key);
    },
    forget: async (key: string) => void known.delete(key),
  };
  const env = { RESPONSES: { getByName: () => responses } } as unknown as Env;
  const dispatch = createDispatch(env, core, publish);
  const data = { ttlMs: 60_000, maxBytes: 100, accountBytes: 1000 };
  for (const key of ["kept", "gone"]) {
    const own = { plugin: "response-cache", service: "responses" as const, id: key, data: { key, ...data } };
    core.submit({ ...submission(key), reservations: [own], responseKey: key });
    core.claim({ session: "s", jobs: [{ id: key, startNow: true }] }, ["default"]);
    core.deliver([{ id: key, token: "token", seq: 0, type: "succeeded", output: "o" }], "s", ["default"]);
  }
  for (const news of [core.outgoing.feeds, core.outgoing.hands]) news.clear();
  dispatch.kick();
  await expect.poll(() => puts).toEqual(["kept", "gone"]);
  core.removeData("gone", "account");
  arrival.resolve();
  await expect.poll(() => dispatch.isPending()).toBe(false);
  expect([...known]).toEqual(["kept"]);
  expect(core.store.get("gone")?.reservations).toBeNull();
});

it("asks again soon where a session does not answer for its lease: all deadlines wait for its alarm", async () => {
  vi.useFakeTimers();
  try {
    const core = new ShardCore(memorySql(), { rules: defaultRules, now: Date.now, newToken: () => "token" });
    const check = () => new Promise<never>(() => {});
    const env = { POOL: { getByName: () => ({ check }) } } as unknown as Env;
    const lease = createDispatch(env, core, publish).leaseOf("sick", []);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(await Promise.race([lease, Promise.resolve(null)])).toMatchObject({ alive: true });
  } finally {
    vi.useRealTimers();
  }
});

/** Predictions that each hold a slot of their subject; the one named `sick` never answers. */
function slotHolders() {
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: Date.now, newToken: () => "token" });
  const settled: string[] = [];
  const subjectNamed = (subject: string) => ({
    async settle(ends: { id: string }[]) {
      if (subject === "sick") await new Promise(() => {});
      settled.push(...ends.map(({ id }) => id));
    },
  });
  const env = { ALLOWANCE: { getByName: subjectNamed }, LEDGER: {} } as unknown as Env;
  const dispatch = createDispatch(env, core, publish);
  const spec = { algorithm: "concurrency" as const, limit: 1 };
  const end = (id: string, subject: string): void => {
    const taken = [{ subject, bucket: "s", unit: "concurrency" as const, spec, amount: 1, at: 0 }];
    const data = toData("objects", { id, expiresAt: Date.now() + 60_000, taken });
    const own = { plugin: "rate-limit", service: "allowance" as const, id, data };
    core.submit({ ...submission(id), reservations: [own] });
    core.claim({ session: "s", jobs: [{ id, startNow: true }] }, ["default"]);
    core.deliver([{ id, token: "token", seq: 0, type: "succeeded", output: "o" }], "s", ["default"]);
    for (const news of [core.outgoing.feeds, core.outgoing.hands]) news.clear();
  };
  const isGivenBack = (id: string): boolean => core.store.get(id)?.reservations === null;
  return { dispatch, end, isGivenBack, settled };
}

it("gives back what others had reserved beside a subject that hangs, and tells that one alone again", async () => {
  vi.useFakeTimers();
  try {
    const { dispatch, end, isGivenBack, settled } = slotHolders();
    end("a", "sick");
    end("b", "well");
    dispatch.kick();
    await vi.advanceTimersByTimeAsync(12_000);
    expect(settled).toEqual(["b"]);
    expect([isGivenBack("a"), isGivenBack("b")]).toEqual([false, true]);
  } finally {
    vi.useRealTimers();
  }
});

it("gives back what is reserved later while a subject hangs", async () => {
  vi.useFakeTimers();
  try {
    const { dispatch, end, isGivenBack } = slotHolders();
    end("a", "sick");
    dispatch.kick();
    await vi.advanceTimersByTimeAsync(100);
    end("b", "well");
    dispatch.kick();
    await vi.advanceTimersByTimeAsync(2000);
    expect(isGivenBack("b")).toBe(true);
  } finally {
    vi.useRealTimers();
  }
});

it("gives up calls that are never answered: what comes behind them leaves", async () => {
  vi.useFakeTimers();
  try {
    const core = new ShardCore(memorySql(), { rules: defaultRules, now: Date.now, newToken: () => "token" });
    const answered: string[] = [];
    const hung = new Set<string>();
    /** The first call of each kind hangs. */
    const answer = async (kind: string): Promise<true> => {
      if (!hung.has(kind)) {
        hung.add(kind);
        await new Promise<never>(() => {});
      }
      answered.push(kind);
      return true;
    };
    const session = { grant: () => answer("grant"), stop: () => answer("stop") };
    const report = async () => ({ hasEnded: await answer("canary"), everyMs: 1000 });
    const env = {
      POOL: { getByName: () => session },
      INDEX: { getByName: () => ({ feed: () => answer("feed") }) },
      CANARY: { getByName: () => ({ report }) },
      LANE: { getByName: () => ({ exchange: async () => Promise.reject(new Error("away")) }) },
    } as unknown as Env;
    const dispatch = createDispatch(env, core, publish);
    for (const id of ["a", "b"]) {
      const canary = { id: "c", arm: "canary" as const };
      core.submit({ ...submission(id), canary, startTimeoutMs: 1 }, { outcome: "reserved", session: "s" });
      core.outgoing.stop("s", { id, token: "token" });
      dispatch.kick();
      await vi.advanceTimersByTimeAsync(100);
    }
    core.submit({ ...submission("c"), canary: { id: "c", arm: "canary" }, startTimeoutMs: 1 });
    await vi.advanceTimersByTimeAsync(10);
    core.wake();
    dispatch.kick();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(new Set(answered)).toEqual(new Set(["grant", "stop", "feed", "canary"]));
  } finally {
    vi.useRealTimers();
  }
});
