import { expect, it } from "vitest";
import { ClaimOutbox } from "./claim-outbox.ts";

function outboxWith(...chunks: string[]): ClaimOutbox {
  const outbox = new ClaimOutbox("id", "token", 0);
  for (const chunk of chunks) outbox.add({ type: "output", chunk }, 8);
  return outbox;
}

const seqs = (events: { seq: number }[]) => events.map(({ seq }) => seq);

it("sends each event once, and keeps it until the edge says that it is stored", () => {
  const outbox = outboxWith("a", "b");
  expect(seqs(outbox.take())).toEqual([0, 1]);
  expect(outbox.acknowledged(0, 2)).toBe(false);
  outbox.add({ type: "output", chunk: "c" }, 8);
  expect(seqs(outbox.take())).toEqual([2]);
  expect(seqs(outbox.all())).toEqual([0, 1, 2]);
  expect(outbox.acknowledged(2, 3)).toBe(false);
  expect(seqs(outbox.all())).toEqual([2]);
});

it("sends again what was not answered, and what the edge lost before it was stored", () => {
  const outbox = outboxWith("a", "b");
  outbox.take();
  expect(seqs(outbox.take())).toEqual([0, 1]);
  outbox.acknowledged(0, 2);
  outbox.add({ type: "output", chunk: "c" }, 8);
  outbox.take();
  outbox.resend(0);
  expect(seqs(outbox.take())).toEqual([0, 1, 2]);
});

it("is empty once its terminal event is stored", () => {
  const outbox = outboxWith("a");
  outbox.add({ type: "succeeded", output: ["a"] }, 8);
  expect(outbox.add({ type: "log", text: "late" }, 8)).toBe(false);
  outbox.take();
  expect(outbox.acknowledged(2, 2)).toBe(false);
  expect(outbox.closing && outbox.empty).toBe(true);
});
