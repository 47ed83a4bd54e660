/**
 * What a reader of a stream gets who comes, or comes back, at any time: every frame once, in order, or that some are
 * gone.
 */
import { describe, expect, it, vi } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId } from "../contract/ids.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import type { StreamFrame, Submission } from "./types.ts";
import { createWaiters } from "./waiters.ts";
import { createObjectTimers } from "../object-timers.ts";

const SESSION = "session-a";

function setUp(overrides: Partial<Submission> = {}) {
  const clock = { now: 1_000_000 };
  let tokens = 0;
  const sql = memorySql();
  const deps = { rules: defaultRules, now: () => clock.now, newToken: () => `token-${(tokens += 1)}` };
  const id = newPredictionId(1);
  const shown: StreamFrame[] = [];
  const open = () => {
    const opened = new ShardCore(sql, deps);
    opened.onChange = (_id, frames) => shown.push(...frames);
    return opened;
  };
  let core = open();
  core.submit({ ...submission(id), stream: true, ...overrides });
  let token = "";
  let seq = 0;
  const claim = () => {
    const [answer] = core.claim({ session: SESSION, jobs: [{ id, startNow: true }] }, ["default"]);
    if (answer?.verdict !== "granted") throw new Error("not granted");
    if (!answer.startNow) core.deliver([{ id, token: answer.token, seq: 0, type: "starting" }], SESSION, ["default"]);
    token = answer.token;
    seq = answer.startNow ? 0 : 1;
  };
  return {
    id,
    clock,
    /** Those that a reader who never left was told. */
    shown,
    core: () => core,
    claim,
    send(...events: Record<string, unknown>[]) {
      const numbered = events.map((event) => ({ id, token, seq: seq++, ...event }) as PoolEvent);
      return core.deliver(numbered, SESSION, ["default"]).verdicts[0];
    },
    /** The object dies, with what it had not stored. */
    die() {
      core = open();
      core.recovery.begin();
      while (core.recovery.more());
    },
    loseRun: () => core.judge(SESSION, [id], { alive: false, remainingMs: 0 }),
    read(afterSeq = -1): StreamFrame[] {
      core.markShown(id, null);
      return core.frames(id, null, afterSeq)?.frames ?? [];
    },
  };
}

const output = (chunk: string) => ({ type: "output", chunk });
const log = (text: string) => ({ type: "log", text });
const told = (frames: readonly StreamFrame[]) =>
  frames.map(({ type, data }) => (type === "output" || type === "log" ? `${type} ${String(data)}` : type));

it("goes on behind any frame, stored or not, and after the end", () => {
  const { claim, send, read, clock } = setUp();
  claim();
  send(output("a"));
  send(output("b"));
  expect(read(1).map(({ seq, index }) => [seq, index])).toEqual([[2, 1]]);
  expect(told(read(2))).toEqual([]);
  clock.now += 1000;
  send(output("c"));
  send(output("d"));
  for (const afterSeq of [0, 1, 2, 3])
    expect(told(read(afterSeq))).toEqual(["output a", "output b", "output c", "output d"].slice(afterSeq));
  send({ type: "succeeded", output: ["a", "b", "c", "d"] });
  for (const afterSeq of [0, 1, 2, 3, 4, 5])
    expect(told(read(afterSeq))).toEqual([
      ...["output a", "output b", "output c", "output d"].slice(afterSeq),
      "completed",
    ]);
  expect(told(read())).toEqual(["start", "output a", "output b", "output c", "output d", "completed"]);
});

it("gives what a restart lost the numbers that it had", () => {
  const { claim, send, read, die, shown } = setUp();
  read();
  claim();
  send(output("a"));
  send(output("b"), log("c"));
  const lost = shown.slice(-2);
  die();
  expect(send(output("late"))).toMatchObject({ verdict: "resend", next: 1 });
  shown.length = 0;
  expect(told(read(3))).toEqual([]);
  send({ seq: 1, ...output("b") }, { seq: 2, ...log("c") });
  expect(shown).toEqual(lost);
});

it("says that it is gone when the data was removed", () => {
  const { claim, send, read, core, id } = setUp();
  claim();
  send(output("a"), output("b"), { type: "succeeded", output: ["a", "b"] });
  core().removeData(id, submission(id).accountId);
  for (const afterSeq of [-1, 0, 1, 2, 3])
    expect(told(read(afterSeq)).filter((type) => type !== "start")).toEqual(["gone", "completed"]);
});

it("says that it is gone to whoever read a run that was lost, and tells all of the next", () => {
  const { claim, send, read, loseRun, shown } = setUp();
  read();
  claim();
  send(log("one"), log("two"), log("three"));
  loseRun();
  claim();
  send(output("a"));
  expect(told(read(2))).toEqual(["gone", "output a"]);
  const [first] = shown.filter(({ type }) => type === "output");
  // Whoever reads on must not take it for one that it has.
  expect(first?.seq).toBeGreaterThan(3);
  expect(told(read(first?.seq ?? 0))).toEqual([]);
  send({ type: "succeeded", output: ["a"] });
  expect(told(read(3))).toEqual(["gone", "output a", "completed"]);
});

it("says that it is gone when what was shown died with both sides, where a run repeats its chunks", () => {
  const { claim, send, read, loseRun, die } = setUp({ resumesDeterministically: true });
  read();
  claim();
  send(output("a"));
  send(log("x"), output("b"));
  die();
  loseRun();
  claim();
  send(output("a"), output("b"), output("c"));
  expect(told(read(1))).toEqual(["output b", "output c"]);
  expect(told(read(3))).toEqual(["gone", "output a", "output b", "output c"]);
});

it("lets no other run contradict the first output that was seen, whatever dies after it", () => {
  const { claim, send, read, loseRun, die, core, id } = setUp();
  read();
  claim();
  send(log("x"));
  send(output("a"));
  die();
  loseRun();
  expect(core().store.get(id)).toMatchObject({ state: "failed", error: { code: "interrupted" } });
});

it("shows nothing of a lost run, until it reports again", () => {
  const { claim, send, read, loseRun, shown } = setUp();
  claim();
  send(output("a"));
  loseRun();
  expect(told(read())).toEqual(["start"]);
  shown.length = 0;
  send(output("b"));
  expect(told(shown)).toEqual(["output a", "output b"]);
  expect(told(read())).toEqual(["start", "output a", "output b"]);
});

it("tells all of it late, too, where no stream was offered and only the beginning was stored in time", () => {
  const { claim, send, read } = setUp({ stream: false });
  claim();
  send(output("a"));
  send(output("b"));
  send({ type: "succeeded", output: ["a", "b"] });
  expect(told(read())).toEqual(["start", "output a", "output b", "completed"]);
});

it("stores any amount in rows that a database takes, and reads it in pages", () => {
  const { claim, send, core, id, clock } = setUp();
  claim();
  const chunk = "x".repeat(100_000);
  for (let sent = 0; sent < 4; sent += 1) {
    send(...Array.from({ length: 30 }, () => output(chunk)));
    clock.now += 1000;
  }
  const seqs: number[] = [];
  let pages = 0;
  for (let more = true; more; pages += 1) {
    const page = core().frames(id, null, seqs.at(-1) ?? -1);
    seqs.push(...(page?.frames ?? []).map(({ seq }) => seq));
    expect(JSON.stringify(page).length).toBeLessThan(1_500_000);
    more = page?.more ?? false;
  }
  expect(seqs).toEqual(Array.from({ length: 121 }, (_, seq) => seq));
  expect(pages).toBeGreaterThan(8);
});

/** As the platform's: it holds nothing, and a write settles when its piece was read. */
const newPipe = () => new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, { highWaterMark: 0 });

it("lets go of a reader that leaves or lags, and tells together what came while a piece was on its way", async () => {
  const waiters = createWaiters(createObjectTimers(), newPipe);
  const page = { frames: [], more: false, finished: false };
  const [leaves, lags] = [waiters.stream("p", page), waiters.stream("p", page)];
  expect(waiters.readers()).toBe(2);
  await leaves.cancel();
  await expect.poll(waiters.readers).toBe(1);
  const big: StreamFrame = { seq: 1, type: "output", data: "x".repeat(600_000) };
  for (const seq of [1, 2, 3, 4]) waiters.notify("p", [{ ...big, seq }]);
  expect(waiters.readers()).toBe(0);
  const [line, ...lines] = (await new Response(lags).text()).trimEnd().split("\n");
  expect(line).toBe("");
  expect(lines).toEqual([1, 2].map((seq) => JSON.stringify({ ...big, seq })));
  const next = waiters.stream("p", page);
  expect(waiters.readers()).toBe(1);
  await next.cancel();
  await expect.poll(waiters.readers).toBe(0);
});

it("writes an empty line to silent readers every 15 s, while there are any", async () => {
  vi.useFakeTimers();
  try {
    const waiters = createWaiters(createObjectTimers(), newPipe);
    const reader = waiters.stream("p", { frames: [], more: false, finished: false }).getReader();
    const line = async () => new TextDecoder().decode((await reader.read()).value);
    expect(await line()).toBe("\n");
    for (let times = 0; times < 2; times += 1) {
      vi.advanceTimersByTime(15_000);
      expect(await line()).toBe("\n");
    }
    await reader.cancel();
    vi.advanceTimersByTime(20_000);
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

it("tells no output of an iterator that yielded nothing, and an empty list that a model returned", () => {
  for (const [iterates, expected] of [
    [true, ["start", "completed"]],
    [false, ["start", "output ", "completed"]],
  ] as const) {
    const { claim, send, read, shown } = setUp({ iterates });
    claim();
    send({ type: "succeeded", output: [] });
    expect(told(read())).toEqual(expected);
    expect(told(shown)).toEqual(expected);
  }
});

it("shows no output of a run that was lost and may yield another", () => {
  for (const resumesDeterministically of [false, true]) {
    const { claim, send, loseRun, core, id, clock } = setUp({ resumesDeterministically });
    claim();
    send(output("a"));
    clock.now += 1000;
    send(output("b"));
    loseRun();
    expect(core().snapshot(id, null)).toMatchObject({
      status: "starting",
      output: resumesDeterministically ? ["a", "b"] : null,
    });
  }
});

describe("what sleeping readers hold", () => {
  const page = { frames: [], more: false, finished: false };
  const frame = (seq: number, chars: number): StreamFrame => ({ seq, type: "output", data: "x".repeat(chars) });

  it("is cut where it is more than an account's share, and no other account's reader is", () => {
    const waiters = createWaiters(createObjectTimers(), newPipe);
    for (let index = 0; index < 40; index += 1) waiters.stream(`sleeps-${index}`, page, "sleeper");
    waiters.stream("other", page, "other");
    for (let seq = 1; seq <= 9; seq += 1) {
      for (let index = 0; index < 40; index += 1) waiters.notify(`sleeps-${index}`, [frame(seq, 100_000)]);
      waiters.notify("other", [frame(seq, 100_000)]);
    }
    const cut = 41 - waiters.readers();
    expect(cut).toBeGreaterThanOrEqual(20);
    expect(cut).toBeLessThan(40);
    waiters.notify("other", [{ seq: 10, type: "completed", data: null }]);
    expect(waiters.readers()).toBe(41 - cut - 1);
  });

  it("is taken back from those that lag most, so that one that reads goes on beside them", async () => {
    const waiters = createWaiters(createObjectTimers(), newPipe);
    const sleepers = Array.from({ length: 12 }, (_, index) => waiters.stream(`sleeps-${index}`, page, "a"));
    // Eight of them hold nearly all that the account may.
    for (let index = 0; index < 12; index += 1) waiters.notify(`sleeps-${index}`, [frame(1, 1_040_000)]);
    const reader = waiters.stream("p", page, "a").getReader();
    for (let seq = 1; seq <= 20; seq += 1) {
      waiters.notify("p", [frame(seq, 80_000)]);
      for (let told = ""; !told.includes(`"seq":${seq},`);) {
        const { done, value } = await reader.read();
        expect(done, `it ended before ${seq}`).toBe(false);
        told = new TextDecoder().decode(value);
      }
    }
    expect(waiters.streamRefusal("a")).toBeNull();
    await Promise.all([reader.cancel(), ...sleepers.map((sleeper) => sleeper.cancel())]);
    await expect.poll(waiters.readers).toBe(0);
  });

  it("is free again when they have read or left", async () => {
    const waiters = createWaiters(createObjectTimers(), newPipe);
    for (let round = 0; round < 60; round += 1) {
      const reader = waiters.stream("p", page, "a").getReader();
      waiters.notify("p", [frame(1, 400_000), frame(2, 400_000)]);
      expect(waiters.readers()).toBe(1);
      if (round % 2 === 0) await reader.read();
      await reader.cancel();
      await expect.poll(waiters.readers).toBe(0);
    }
  });

  it("leaves in pieces, so that no more than one is on its way to each", async () => {
    const waiters = createWaiters(createObjectTimers(), newPipe);
    const reader = waiters.stream("p", page, "a").getReader();
    waiters.notify(
      "p",
      Array.from({ length: 100 }, (_, index) => frame(index + 1, 5000)),
    );
    await reader.read();
    const { value } = await reader.read();
    expect(value?.length).toBeGreaterThan(50_000);
    expect(value?.length).toBeLessThanOrEqual(64 * 1024);
    await reader.cancel();
  });

  it("opens no more streams of an account whose readers sleep, until they have left", async () => {
    const waiters = createWaiters(createObjectTimers(), newPipe);
    const full = { frames: [frame(1, 900_000)], more: false, finished: true };
    const open: ReadableStream[] = [];
    while (waiters.streamRefusal("sleeper") === null && open.length < 1000)
      open.push(waiters.stream(`s-${open.length}`, full, "sleeper"));
    expect(open.length).toBeLessThan(20);
    expect([waiters.streamRefusal("sleeper"), waiters.streamRefusal("other")]).toEqual(["own", null]);
    await Promise.all(open.map((stream) => stream.cancel()));
    await expect.poll(() => waiters.streamRefusal("sleeper")).toBeNull();
  });

  it("cuts and refuses, where all is taken, only those above an even share", () => {
    const waiters = createWaiters(createObjectTimers(), newPipe);
    for (const account of ["a", "b", "c"]) {
      for (let index = 0; index < 7; index += 1) {
        waiters.stream(`${account}-${index}`, page, account);
        waiters.notify(`${account}-${index}`, [frame(1, 900_000)]);
      }
    }
    expect(["a", "b", "c"].map((account) => waiters.streamRefusal(account))).toContain("all");
    waiters.stream("small", page, "small");
    waiters.notify("small", [frame(1, 500_000), { seq: 2, type: "completed", data: null }]);
    expect(waiters.streamRefusal("small")).toBeNull();
  });

  it("lets one account have as many as it may, also where that is more than usual for all", () => {
    const waiters = createWaiters(createObjectTimers(), newPipe, { accountStreams: 2500, accountHeld: 1 });
    for (let index = 0; index < 2499; index += 1) waiters.stream("p", page, "a");
    expect([waiters.streamRefusal("a"), waiters.streamRefusal("b")]).toEqual([null, null]);
    waiters.stream("p", page, "a");
    expect([waiters.streamRefusal("a"), waiters.streamRefusal("b")]).toEqual(["own", null]);
  });

  it("is bounded in number by account, streams and held requests alike", async () => {
    const limits = { accountStreams: 2, accountHeld: 3 };
    const waiters = createWaiters(createObjectTimers(), newPipe, limits);
    const open = [waiters.stream("p", page, "a"), waiters.stream("q", page, "a")];
    expect([waiters.streamRefusal("a"), waiters.streamRefusal("b")]).toEqual(["own", null]);
    await open[0]?.cancel();
    await expect.poll(() => waiters.streamRefusal("a")).toBeNull();
    const holds = ["p", "p", "q"].map((id) => waiters.change(id, 60_000, "a"));
    expect([waiters.mayHold("a"), waiters.mayHold("b")]).toEqual([false, true]);
    waiters.notify("p", []);
    await Promise.all(holds.slice(0, 2));
    expect(waiters.mayHold("a")).toBe(true);
    waiters.notify("q", []);
    for (let more = 0; more < 3; more += 1) void waiters.change("r", 10, "a");
    expect(waiters.mayHold("a")).toBe(false);
    await expect.poll(() => waiters.mayHold("a")).toBe(true);
  });
});
