import fc from "fast-check";
import { expect, test } from "vitest";
import { aPart } from "./conformance.ts";
import { stepOf } from "./text-window.ts";

const WINDOW = { windowCharacters: 10, overlapCharacters: 4 };

/** What was judged, and what had gone out by then, step by step; `said`: all that went out. */
function run(chunks: readonly string[], window = WINDOW) {
  const judged: { text: string; before: string }[] = [];
  const pieces: string[] = [];
  let held: string | null = null;
  const end = { part: "end", output: null } as const;
  for (const part of [...chunks.map((output) => ({ part: "chunk", output }) as const), end]) {
    const step = stepOf(aPart({ ...part, held }), window);
    if (step.judge !== null) judged.push({ text: step.judge, before: pieces.join("") });
    pieces.push(step.output);
    held = step.held;
  }
  return { judged, pieces, said: pieces.join("") };
}

test("text goes out a window at a time, but for its end, which is judged with the next one", () => {
  expect(run(["hello ", "world, ", "how are ", "you?"])).toEqual({
    said: "hello world, how are you?",
    pieces: ["", "hello wor", "", "ld, how are ", "you?"],
    judged: [
      { text: "hello world, ", before: "" },
      { text: "ld, how are you?", before: "hello wor" },
    ],
  });
  expect(run([])).toMatchObject({ said: "", judged: [] });
});

test("what was judged is not judged again when the stream ends there", () => {
  const { judged, said } = run(["hello world"]);
  expect(judged).toHaveLength(1);
  expect(said).toBe("hello world");
});

test("no cut goes through a character", () => {
  const { pieces } = run(["abcdefgh🙂ij", "k"], { windowCharacters: 10, overlapCharacters: 3 });
  expect(pieces).toEqual(["abcdefgh", "", "🙂ijk"]);
});

const cuts = fc.tuple(fc.array(fc.string({ maxLength: 25 })), fc.nat(12), fc.integer({ min: 1, max: 12 }));

test("everything goes out, and nothing of a stretch that the overlap holds before all of it was judged", () => {
  fc.assert(
    fc.property(cuts, ([chunks, overlap, size]) => {
      const text = chunks.join("");
      const { judged, said } = run(chunks, { windowCharacters: size, overlapCharacters: overlap });
      expect(said).toBe(text);
      for (let at = 0; at + overlap <= text.length && overlap > 0; at += 1) {
        // The judgement that saw all of it came while none of it had gone out.
        const saw = judged.some(
          ({ text: seen, before }) => before.length <= at && before.length + seen.length >= at + overlap,
        );
        expect([at, saw]).toEqual([at, true]);
      }
    }),
  );
});

test("a state that isn't its own is none", () => {
  expect(stepOf(aPart({ part: "chunk", output: "a", held: "not a state" }), WINDOW)).toMatchObject({
    judge: null,
    output: "",
  });
});
