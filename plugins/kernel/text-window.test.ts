import fc from "fast-check";
import { expect, test } from "vitest";
import { aPart } from "./conformance.ts";
import { stepOf } from "./text-window.ts";

const WINDOW = { windowCharacters: 10, overlapCharacters: 4 };

function run(chunks: readonly string[], window = WINDOW) {
  const judged: string[] = [];
  let said = "";
  let held: string | null = null;
  for (const part of [
    ...chunks.map((output) => ({ part: "chunk", output }) as const),
    { part: "end", output: null } as const,
  ]) {
    const step = stepOf(aPart({ ...part, held }), window);
    if (step.judge !== null) judged.push(step.judge);
    said += step.output;
    held = step.held;
  }
  return { judged, said };
}

test("text goes out a window at a time, each judged with the end of the one before", () => {
  expect(run(["hello ", "world, ", "how are ", "you?"])).toEqual({
    said: "hello world, how are you?",
    judged: ["hello world, ", "ld, how are you?"],
  });
  expect(run([])).toEqual({ said: "", judged: [] });
});

test("everything goes out, and everything is judged before it does, however it is cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 25 })),
      fc.nat(12),
      fc.integer({ min: 1, max: 12 }),
      (chunks, overlap, size) => {
        const text = chunks.join("");
        const { judged, said } = run(chunks, { windowCharacters: size, overlapCharacters: overlap });
        expect(said).toBe(text);
        // Any stretch that the overlap can hold is whole in one of the judged texts.
        for (let at = 0; at + overlap <= text.length && overlap > 0; at += 1)
          expect(judged.some((one) => one.includes(text.slice(at, at + overlap)))).toBe(true);
      },
    ),
  );
});

test("a state that isn't its own is none", () => {
  expect(stepOf(aPart({ part: "chunk", output: "a", held: "not a state" }), WINDOW)).toMatchObject({
    judge: null,
    output: "",
  });
});
