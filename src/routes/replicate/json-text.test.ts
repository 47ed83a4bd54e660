import fc from "fast-check";
import { expect, it } from "vitest";
import { textOfJson } from "./json-text.ts";
import { asEventLines } from "./sse.ts";

/** What comes out of `json`, cut into pieces of these sizes. */
async function textOf(json: string, sizes: readonly number[]): Promise<string> {
  const bytes = new TextEncoder().encode(json);
  async function* pieces() {
    for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
      const size = sizes[turn % sizes.length] ?? 1;
      yield bytes.slice(at, at + size);
      at += size;
    }
  }
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of textOfJson(pieces()))
    text += typeof part === "string" ? part : decoder.decode(part, { stream: true });
  return text;
}

const cuts = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 });
/** Texts with what is escaped in them, line ends and halves of pairs among it. */
const texts = fc
  .array(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 5 }),
      fc.constantFrom("\r", "\n", "\r\n", '"', "\\", "\ud83d", "\ude00", "🎉"),
    ),
  )
  .map((parts) => parts.join(""));
/** As some encoders write it: everything beyond ASCII escaped. */
const inAscii = (json: string) =>
  json.replaceAll(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

it("tells a text as it is, in lines of an event, however it is cut", async () => {
  await fc.assert(
    fc.asyncProperty(texts, cuts, fc.boolean(), async (text, sizes, ascii) => {
      const json = JSON.stringify(text.toWellFormed());
      expect(await textOf(` ${ascii ? inAscii(json) : json} `, sizes)).toBe(asEventLines(text.toWellFormed()));
    }),
    { numRuns: 2000 },
  );
});

it("tells U+FFFD for half a pair", async () => {
  for (const sizes of [[1], [3], [100]]) {
    expect(await textOf('"cut \\ud83d"', sizes)).toBe("cut \ufffd");
    expect(await textOf('"\\ud83d, \\ude00"', sizes)).toBe("\ufffd, \ufffd");
  }
});

it("leaves everything else as it is", async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), cuts, async (value, sizes) => {
      fc.pre(typeof value !== "string");
      expect(await textOf(` ${JSON.stringify(value)}`, sizes)).toBe(JSON.stringify(value));
    }),
  );
});
