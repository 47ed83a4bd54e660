/** How a decoder under fuzz is judged by what an input takes. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { decoder, MAX_CPU_MS } from "./decoder.ts";

/** Feeds one input; `takesMs`: what each look at it takes. */
async function judged(takesMs: readonly number[]): Promise<number> {
  let [now, looks] = [0, 0];
  const decode = () => {
    now += takesMs[looks] ?? 0;
    looks += 1;
  };
  await decoder("one", 1, fc.constant("input"), decode, () => now).run(1, 1, () => {});
  return looks;
}

it("finds an input that is slow each time, and looks again at one that was slow by chance", async () => {
  const slow = MAX_CPU_MS + 1;
  expect(await judged([MAX_CPU_MS])).toBe(1);
  expect(await judged([slow, MAX_CPU_MS])).toBe(2);
  expect(await judged([slow, slow, 1])).toBe(3);
  await expect(judged([slow, slow, slow, 1])).rejects.toMatchObject({
    cause: { message: `took ${slow} ms` },
  });
});
