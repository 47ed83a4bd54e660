/** When a model that can't be set up is its author's fault, for how long, and who may try again. */
import { describe, expect, it } from "vitest";
import { CreditBook } from "./credit.ts";
import { versionKey } from "./types.ts";
import { createVerdicts } from "./verdicts.ts";

const VERSION = { model: "m/a", version: "1" };
const KEY = versionKey(VERSION);
const NOW = 1_000_000;
const MINUTE_MS = 60_000;

type Host = { problem?: string; room?: number; readyInMs?: number | null };

/** Judges by what hosts said last, one after the other. */
function setUp() {
  const verdicts = createVerdicts();
  const judge = (hosts: readonly Host[], { allHeard = true, now = NOW } = {}, suspended: readonly number[] = []) => {
    const book = new CreditBook({ reserved: 250, taken: 1500, pushed: 1500, granted: 500 });
    for (const [index, { problem = null, room = 0, readyInMs = null }] of hosts.entries()) {
      const session = book.session(`host ${index}`);
      book.tell(session, 1, true, [{ ...VERSION, room, startNow: room, readyInMs, problem }], NOW);
      session.isSuspended = suspended.includes(index);
    }
    verdicts.judge(KEY, book.serving(KEY), allHeard, now);
    return verdicts.failure(KEY, now)?.message ?? null;
  };
  return { verdicts, judge };
}

const sick = (problem = "no driver"): Host => ({ problem });
const well: Host = { room: 1, readyInMs: 0 };

describe("a verdict", () => {
  it("needs all that serve the version, or three hosts", () => {
    const judged = (...hosts: Host[]) => setUp().judge(hosts) !== null;
    expect(judged(sick())).toBe(true);
    expect(judged(sick(), sick())).toBe(true);
    expect(judged(sick(), well)).toBe(false);
    expect(judged(sick(), sick(), well)).toBe(false);
    expect(judged(sick(), sick(), sick(), well, well)).toBe(true);
    expect(judged(well)).toBe(false);
    expect(judged()).toBe(false);
  });

  it("counts nobody who tries again, or is suspended, and waits until all were heard", () => {
    expect(setUp().judge([sick(), { ...sick(), room: 1 }])).toBeNull();
    expect(setUp().judge([sick(), sick()], {}, [1])).toContain("any of 1 hosts");
    expect(setUp().judge([sick(), sick()], { allHeard: false })).toBeNull();
    expect(setUp().judge([sick(), sick(), sick()], { allHeard: false })).toContain("any of 3 hosts");
  });

  it("tells the end of the reason", () => {
    const message = setUp().judge([sick(`${"x".repeat(2000)} no weights`)]);
    const beginning =
      "The model could not be set up on any of 1 hosts that tried; it is tried again a minute after that: ";
    expect(message?.startsWith(`${beginning}xxx`)).toBe(true);
    expect(message?.endsWith("x no weights")).toBe(true);
    expect(message).toHaveLength(beginning.length + 1000);
  });

  it("stands for a minute, whatever hosts say meanwhile, and is on trial then", () => {
    const { verdicts, judge } = setUp();
    judge([sick("first")]);
    expect(judge([sick("second")], { now: NOW + MINUTE_MS - 1 })).toContain("first");
    expect([verdicts.isOnTrial(KEY, NOW + MINUTE_MS - 1), verdicts.nextEnd(NOW)]).toEqual([false, NOW + MINUTE_MS]);
    expect(verdicts.failure(KEY, NOW)?.code).toBe("setup_failed");
    expect([verdicts.failure(KEY, NOW + MINUTE_MS), verdicts.isOnTrial("unheard of", NOW)]).toEqual([null, false]);
    expect([verdicts.isOnTrial(KEY, NOW + MINUTE_MS), verdicts.nextEnd(NOW + MINUTE_MS)]).toEqual([true, null]);
    // The one that tried found the same.
    expect(judge([sick("second")], { now: NOW + MINUTE_MS })).toContain("second");
    expect(verdicts.isOnTrial(KEY, NOW + MINUTE_MS)).toBe(false);
  });

  it("is over when the version ran, or is ready somewhere, or nobody decided its trial in ten minutes", () => {
    const ways = [
      ({ verdicts }: ReturnType<typeof setUp>) => verdicts.ran(KEY),
      ({ judge }: ReturnType<typeof setUp>) => void judge([sick(), well]),
      ({ verdicts }: ReturnType<typeof setUp>) => expect(verdicts.isOnTrial(KEY, NOW + 11 * MINUTE_MS)).toBe(false),
    ];
    for (const end of ways) {
      const world = setUp();
      world.judge([sick()]);
      expect([world.verdicts.knows(KEY), world.verdicts.size()]).toEqual([true, 1]);
      end(world);
      expect([world.verdicts.knows(KEY), world.verdicts.failure(KEY, NOW)]).toEqual([false, null]);
    }
  });

  it("is not over where a host only has no problem yet", () => {
    const { judge, verdicts } = setUp();
    judge([sick()]);
    judge([{ room: 1, readyInMs: null }]);
    judge([{ room: 1, readyInMs: 500 }]);
    expect(verdicts.knows(KEY)).toBe(true);
    expect(verdicts.isOnTrial(KEY, NOW + 11 * MINUTE_MS - 1)).toBe(true);
  });

  it("is remembered of a thousand versions, the latest", () => {
    const { verdicts } = setUp();
    const book = new CreditBook({ reserved: 250, taken: 1500, pushed: 1500, granted: 500 });
    const keys = Array.from({ length: 1001 }, (_, index) => {
      const one = { model: `m/${index}`, version: "1" };
      const session = book.session(`host ${index}`);
      book.tell(session, 1, true, [{ ...one, room: 0, startNow: 0, readyInMs: null, problem: "no" }], NOW);
      const key = versionKey(one);
      verdicts.judge(key, book.serving(key), true, NOW);
      return key;
    });
    expect([verdicts.size(), verdicts.knows(keys[0] ?? ""), verdicts.knows(keys[1] ?? "")]).toEqual([
      1000,
      false,
      true,
    ]);
  });
});
