import { describe, expect, it } from "vitest";
import type { Json } from "../../src/contract/prediction.ts";
import { aCall, describePlugin } from "../kernel/conformance.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import { measure } from "./measure.ts";
import { promptGuard } from "./prompt-guard.ts";

describePlugin(promptGuard, {
  badConfigs: [
    { maxDepth: -1 },
    { maxTokens: 1.5 },
    { schemas: { acme: {} } },
    { schemas: { "*": { type: "nonsense" } } },
  ],
});

async function judge(config: unknown, input: { [key: string]: Json }) {
  const { hooks } = await buildSnapshot(1, [promptGuard], { "prompt-guard": { config } }, {});
  return hooks.screenInput[0]?.run(aCall(input));
}

describe("prompt-guard", () => {
  it.each([
    [{ maxCharacters: 5 }, { a: "abc", b: ["abc"] }, "6 characters; 5 may be"],
    [{ maxTextCharacters: 3 }, { a: "abc", b: "abcd" }, "4 characters in one text; 3"],
    [{ maxTokens: 2 }, { a: "三个字" }, "3 tokens"],
    [{ maxDepth: 2 }, { a: { b: [] } }, "3 levels"],
    [{ maxCharacters: 0 }, { a: "x" }, "1 characters; 0 may be"],
    [{ required: ["user_id"] }, { user_id: "" }, "must have `user_id`"],
    [{ forbidden: ["seed"] }, { seed: 1 }, "may not have `seed`"],
    [{ schemas: { "*": { properties: { n: { type: "integer", maximum: 4 } } } } }, { n: 5 }, "n: 5"],
    [{ schemas: { "acme/echo": { required: ["n"] } } }, {}, 'property "n"'],
  ])("%j refuses %j", async (config, input, reason) => {
    const verdict = await judge(config, input);
    expect(verdict).toMatchObject({ verdict: "reject", code: "invalid_input" });
    expect(verdict).toHaveProperty("message", expect.stringContaining(reason));
  });

  it.each([
    [
      { maxCharacters: 6, maxTextCharacters: 3, maxTokens: 2, maxDepth: 2 },
      { a: "abc", b: ["abc"] },
    ],
    [{ required: ["n"] }, { n: 0 }],
    [{ schemas: { "other/model": { required: ["n"] } } }, {}],
    [{ maxCharacters: 1e12 }, { a: "x" }],
    [{}, { a: "x" }],
  ])("%j lets %j through", async (config, input) => {
    expect(await judge(config, input)).toEqual({ verdict: "continue" });
  });

  it("measures inputs that are nested as deep as they can be", () => {
    let deep: Json = "x";
    for (let level = 0; level < 100_000; level += 1) deep = [deep];
    expect(measure(deep)).toEqual({ characters: 1, longest: 1, depth: 100_000, tokens: 1 });
  });
});
