import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_CHUNK_BYTES } from "../../src/contract/event.ts";
import type { PoolEvent } from "../../src/contract/event.ts";
import { ClaimOutbox, UNKNOWN_SEQ } from "./claim-outbox.ts";

/** The edge's rule for one claim: contiguous, what was seen is dropped, a gap asks again. */
function createStore(nextSeq = 0) {
  const stored: PoolEvent[] = [];
  return {
    stored,
    receive(events: readonly PoolEvent[]): { verdict: "ok" | "resend"; next: number } {
      for (const event of events) {
        if (event.seq > nextSeq + stored.length) return { verdict: "resend", next: nextSeq + stored.length };
        if (event.seq === nextSeq + stored.length) stored.push(event);
      }
      return { verdict: "ok", next: nextSeq + stored.length };
    },
  };
}

test("whatever requests and answers get lost, the edge has every event once and in order", () => {
  const round = fc.record({
    add: fc.nat(3),
    limit: fc.integer({ min: 1, max: 4 }),
    fate: fc.constantFrom("arrives", "request lost", "answer lost", "answer without next"),
  });
  fc.assert(
    fc.property(fc.array(round, { maxLength: 40 }), fc.nat(5), (rounds, first) => {
      const outbox = new ClaimOutbox("id", "token", first);
      const edge = createStore(first);
      let made = 0;
      const send = (limit: number, fate: string): void => {
        const events = outbox.take(limit);
        const last = events.at(-1);
        if (last === undefined || fate === "request lost") return;
        const { verdict, next } = edge.receive(structuredClone(events));
        if (fate === "answer lost") return;
        if (verdict === "resend") outbox.resend(next);
        else outbox.acknowledged(fate === "answer without next" ? undefined : next, last.seq + 1);
      };
      for (const { add, limit, fate } of rounds) {
        for (let count = 0; count < add; count += 1) outbox.add({ type: "output", chunk: made++ }, 8);
        send(limit, fate);
      }
      outbox.add({ type: "succeeded", output: "all" }, 8);
      for (let tries = 0; !outbox.empty && tries < 200; tries += 1) send(3, "arrives");
      expect(outbox.empty).toBe(true);
      const chunks = edge.stored.flatMap((event) => (event.type === "output" ? [event.chunk] : []));
      expect(chunks).toEqual(Array.from({ length: made }, (_, index) => index));
      expect(edge.stored.at(-1)?.type).toBe("succeeded");
    }),
    { numRuns: 500 },
  );
});

test("a claim of an earlier life goes on where the edge says", () => {
  for (const known of [0, 1, 7]) {
    const edge = createStore(known);
    const outbox = new ClaimOutbox("id", "token", UNKNOWN_SEQ);
    outbox.add({ type: "released", reason: "lost" }, 8);
    const first = edge.receive(outbox.take());
    expect(first).toEqual({ verdict: "resend", next: known });
    outbox.resend(first.next);
    expect(edge.receive(outbox.take())).toEqual({ verdict: "ok", next: known + 1 });
    expect(edge.stored).toMatchObject([{ type: "released", seq: known }]);
  }
});

test("what follows an event that was numbered anew follows in number, too", () => {
  const outbox = new ClaimOutbox("id", "token", UNKNOWN_SEQ);
  outbox.add({ type: "log", text: "a" }, 8);
  outbox.take();
  outbox.resend(7);
  outbox.add({ type: "released", reason: "lost" }, 8);
  expect(seqs(outbox.take())).toEqual([7, 8]);
});

test("a request takes no more than its limit, what is sent again included", () => {
  const outbox = outboxWith("a", "b");
  outbox.take();
  for (const chunk of ["c", "d"]) outbox.add({ type: "output", chunk }, 8);
  expect(seqs(outbox.take(3))).toEqual([0, 1, 2]);
});

test("logs that wait are sent as one; nothing follows a terminal event", () => {
  const outbox = new ClaimOutbox("id", "token", 0);
  outbox.add({ type: "log", text: "a\n" }, 2);
  outbox.add({ type: "log", text: "b\n" }, 2);
  expect(outbox.add({ type: "failed", kind: "model", error: { code: "model_error", message: "no" } }, 8)).toBe(true);
  expect(outbox.add({ type: "log", text: "late" }, 4)).toBe(false);
  expect(outbox.take()).toMatchObject([
    { type: "log", text: "a\nb\n", seq: 0 },
    { type: "failed", seq: 1 },
  ]);
});

const MIB = 1024 * 1024;
const seqs = (events: { seq: number }[]) => events.map(({ seq }) => seq);
const textOf = (event: PoolEvent | undefined) => (event?.type === "log" ? event.text : "");

test("of a backlog without end the first chunks stay, the logs say so, and the end carries all", () => {
  const outbox = new ClaimOutbox("id", "token", 0);
  outbox.add({ type: "starting" }, 8);
  outbox.add({ type: "output", chunk: 0 }, MIB);
  outbox.take();
  for (let index = 1; index < 60; index += 1) {
    outbox.add({ type: "log", text: "word " }, 8);
    outbox.add({ type: "output", chunk: index }, MIB);
  }
  outbox.add({ type: "log", text: "later" }, 8);
  outbox.add({ type: "succeeded", output: "all" }, 8);
  const events = outbox.all();
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index));
  expect(events.map(({ type }) => type)).toEqual(["starting", "output", "log", "succeeded"]);
  expect(events[1]).toMatchObject({ chunk: 0 });
  expect(textOf(events[2])).toMatch(/chunks of the output were dropped.*\n[^]*later$/);
  expect(events[3]).toMatchObject({ output: "all" });
});

test("a request takes about a mebibyte of a claim, so that the rest may still be dropped while the edge is away", () => {
  const outbox = new ClaimOutbox("id", "token", 0);
  for (let index = 0; index < 8; index += 1) outbox.add({ type: "output", chunk: index }, MIB / 4);
  for (let tries = 0; tries < 3; tries += 1) expect(seqs(outbox.take())).toEqual([0, 1, 2, 3]);
  expect(outbox.acknowledged(4, 4)).toBe(true);
  expect(seqs(outbox.take())).toEqual([4, 5, 6, 7]);
});

test("where logs alone were too many, the chunks go on", () => {
  const outbox = new ClaimOutbox("id", "token", 0);
  outbox.add({ type: "log", text: "much" }, 17 * MIB);
  outbox.add({ type: "output", chunk: 0 }, 8);
  const [notice, chunk] = outbox.take();
  expect(textOf(notice)).toContain("Logs were dropped here");
  expect(chunk).toMatchObject({ chunk: 0 });
});

test("what is dropped with the end is told before it", () => {
  const outbox = new ClaimOutbox("id", "token", 0);
  outbox.add({ type: "output", chunk: 0 }, 16 * MIB);
  outbox.add({ type: "succeeded", output: "all" }, 8);
  expect(outbox.take().map(({ type }) => type)).toEqual(["log", "succeeded"]);
});

test("what the edge refuses for good becomes a failure, once", () => {
  const outbox = new ClaimOutbox("id", "token", 4);
  outbox.add({ type: "succeeded", output: "bad" }, 8);
  outbox.take();
  expect(outbox.refuse("refused")).toBe(true);
  expect(outbox.take()).toMatchObject([{ type: "failed", seq: 4, error: { message: "refused" } }]);
  expect(outbox.refuse("refused")).toBe(false);
});

function outboxWith(...chunks: string[]): ClaimOutbox {
  const outbox = new ClaimOutbox("id", "token", 0);
  for (const chunk of chunks) outbox.add({ type: "output", chunk }, 8);
  return outbox;
}

test("sends each event once, and keeps it until the edge says that it is stored", () => {
  const outbox = outboxWith("a", "b");
  expect(seqs(outbox.take())).toEqual([0, 1]);
  expect(outbox.acknowledged(0, 2)).toBe(false);
  outbox.add({ type: "output", chunk: "c" }, 8);
  expect(seqs(outbox.take())).toEqual([2]);
  expect(seqs(outbox.all())).toEqual([0, 1, 2]);
  expect(outbox.acknowledged(2, 3)).toBe(false);
  expect(seqs(outbox.all())).toEqual([2]);
});

test("sends again what was not answered, and what the edge lost before it was stored", () => {
  const outbox = outboxWith("a", "b");
  outbox.take();
  expect(seqs(outbox.take())).toEqual([0, 1]);
  outbox.acknowledged(0, 2);
  outbox.add({ type: "output", chunk: "c" }, 8);
  outbox.take();
  outbox.resend(0);
  expect(seqs(outbox.take())).toEqual([0, 1, 2]);
});

test("is empty once its terminal event is stored", () => {
  const outbox = outboxWith("a");
  outbox.add({ type: "succeeded", output: ["a"] }, 8);
  expect(outbox.add({ type: "log", text: "late" }, 8)).toBe(false);
  outbox.take();
  expect(outbox.acknowledged(2, 2)).toBe(false);
  expect(outbox.closing && outbox.empty).toBe(true);
});

test("sends nothing that is too large for the edge", () => {
  const outbox = new ClaimOutbox("id", "token", 0);
  const line = `${"x".repeat(99_999)}\n`;
  for (let lines = 0; lines < 6; lines += 1) outbox.add({ type: "log", text: line }, line.length);
  outbox.add({ type: "log", text: "y".repeat(3_000_000) }, 3_000_000);
  outbox.add({ type: "output", chunk: "a" }, 3);
  outbox.add({ type: "output", chunk: "b".repeat(3_000_000) }, 3_000_002);
  expect(outbox.add({ type: "output", chunk: "c" }, 3)).toBe(false);
  const events = outbox.all();
  for (const event of events) expect(JSON.stringify(event).length).toBeLessThan(300_000);
  expect(events.filter(({ type }) => type === "output")).toMatchObject([{ chunk: "a" }]);
  const logs = events.map((event) => (event.type === "log" ? event.text : "")).join("");
  expect(logs).toContain(line.repeat(2));
  expect(logs).toMatch(/larger than 1\.5 MB.*\n$/);
});

test("streams a chunk as large as the edge takes, and none that is larger", () => {
  const outbox = new ClaimOutbox("id", "token", 0);
  outbox.add({ type: "output", chunk: "fits" }, MAX_CHUNK_BYTES);
  outbox.add({ type: "output", chunk: "does not" }, MAX_CHUNK_BYTES + 1);
  expect(outbox.all()).toMatchObject([{ chunk: "fits" }, { type: "log" }]);
});
