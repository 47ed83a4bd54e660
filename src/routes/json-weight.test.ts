import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readJson } from "./body.ts";
import { parsedBytes } from "./json-weight.ts";

const MIB = 1024 * 1024;
const post = (text: string) => new Request("https://edge.test/", { method: "POST", body: text });
const filled = (one: string, bytes = 15.9 * MIB) => `[${one.repeat(bytes / one.length)}${one.replace(/,$/, "")}]`;

describe("a body of 16 MiB", () => {
  it.each(["{},", "[],", '"",', "1,", '{"a":1},', "[[]],", '"a":{},'])("of %s is refused unparsed", async (one) => {
    await expect(readJson(post(filled(one)))).rejects.toMatchObject({ code: "payload_too_large" });
  });

  it.each([
    ["a text full of commas and braces", `"${"{},".repeat(5 * MIB)}"`],
    ["a text full of quotes", `"${'\\"{,'.repeat(4 * MIB - 2)}"`],
    ["a text that ends in backslashes", `["${"\\\\".repeat(4 * MIB)}","${"{},".repeat(2 * MIB)}"]`],
    ["a million numbers of an embedding", filled("0.1234567890123,")],
    ["records of usual size", filled('{"name":"a name of usual length","text":"and a text that is somewhat longer"},')],
  ])("of %s is taken", async (_what, text) => {
    expect(await readJson(post(text))).toEqual(JSON.parse(text));
  });
});

it("counts nothing within strings, whatever they hold", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const json = JSON.stringify([text, "x".repeat(200_000)]);
      expect(parsedBytes(json, Infinity)).toBeLessThan(json.length + 200);
    }),
  );
});
