import { describe, expect, it, vi } from "vitest";
import { aCall } from "../../../plugins/kernel/conformance.ts";
import type { Hook, Phase, PredictionCall } from "../../../plugins/kernel/phases.ts";
import type { Hooks } from "../../../plugins/kernel/snapshot.ts";
import { newTrail, runPhase } from "../../pipeline/run-phase.ts";
import { checkedChange } from "./changed-call.ts";
import { compileInputValidator } from "./input-schema.ts";

const validate = compileInputValidator({
  components: {
    schemas: { Input: { type: "object", required: ["text"], properties: { text: { type: "string", maxLength: 8 } } } },
  },
});
const before = aCall({ text: "short" });

/** Runs `screenInput` with these hooks, as a request does. */
function screen(hooks: readonly Hook<"screenInput">[], entry: { failMode?: "open"; shadow?: true } = {}) {
  const bound = hooks.map((run, index) => ({
    ...{ plugin: `p${index}`, failMode: "closed" as const, timeoutMs: 1000, shadow: false, mutates: true, run },
    ...(index === 0 ? entry : {}),
  }));
  const phases = { authenticate: [], admit: [], screenInput: bound, route: [], screenOutput: [], onResult: [] };
  const trail = {
    ...newTrail(),
    onChangedCall: (changed: PredictionCall, given: PredictionCall, phase: Phase) =>
      checkedChange(validate, changed, given, phase),
  };
  return { trail, done: runPhase({ hooks: phases } satisfies Hooks, "screenInput", before, trail) };
}

function changing(change: Partial<PredictionCall>): Hook<"screenInput"> {
  return (call) => ({ verdict: "continue", subject: { ...call, ...change } });
}

describe("a version that a plugin names", () => {
  const [other, input] = ["b".repeat(64), before.input];
  const named = (version: string, phase: Phase) =>
    checkedChange(validate, { ...before, model: { ...before.model, owner: "else", version } }, before, phase).model;

  it("is taken from a hook of route alone, and of the model nothing else", () => {
    expect(named(other, "route")).toEqual({ ...before.model, version: other });
    for (const phase of ["admit", "screenInput"] as const) expect(named(other, phase)).toEqual(before.model);
    expect(checkedChange(validate, { ...before, input, priority: "low" }, before, "route").model).toEqual(before.model);
  });

  it("is its digits: nothing that could come to mean another one", () => {
    for (const version of ["latest", "", "B".repeat(64)]) expect(() => named(version, "route")).toThrow("version");
  });
});

describe("an input that a plugin changed", () => {
  it("is handed on with its true size, and nobody else's call", async () => {
    const seen: number[] = [];
    const look: Hook<"screenInput"> = ({ inputBytes }) => {
      seen.push(inputBytes);
      return { verdict: "continue" };
    };
    const lies = { inputBytes: 1, predictionId: "another", model: { owner: "o", name: "n", version: "v" } };
    const { done } = screen([changing({ input: { text: "é" }, ...lies }), look]);
    const { inputBytes, input, predictionId, model } = await done;
    expect([inputBytes, input, predictionId, model]).toEqual([13, { text: "é" }, before.predictionId, before.model]);
    expect(seen).toEqual([13]);
  });

  it.each<[string, unknown, string]>([
    ["doesn't fit the model", { text: "far too long a text" }, "input.text"],
    ["lacks what the model needs", {}, "input.text"],
    ["is no object", ["text"], "input"],
    ["is nothing", undefined, "input"],
    ["has no text in JSON", { text: "a", big: 1n }, "input"],
    ["goes round in a circle", circle(), "input"],
    ["is nested too deeply", { text: "a", deep: nested(200) }, "input"],
    ["is larger than any client may send", { text: "a", more: "x".repeat(16 * 1024 * 1024) }, "input"],
  ])("is refused as the plugin's fault when it %s", async (_what, input, field) => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { done, trail } = screen([changing({ input: input as PredictionCall["input"] })]);
    const refused: unknown = await done.catch((error: unknown) => error);
    expect(refused).toMatchObject({
      ...{ code: "changed_input_invalid", status: 422, message: expect.stringContaining('The plugin "p0"') as string },
      options: { invalidFields: [expect.objectContaining({ field })] },
    });
    expect(trail.verdicts).toMatchObject([{ plugin: "p0", action: "reject", code: "changed_input_invalid" }]);
  });

  it("is left as the client sent it where the plugin fails open, or only shadows", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    for (const entry of [{ failMode: "open" }, { shadow: true }] as const) {
      const { done, trail } = screen([changing({ input: {} })], entry);
      expect((await done).input).toBe(before.input);
      expect(trail.verdicts).toMatchObject([{ action: "broken", code: "changed_input_invalid" }]);
    }
  });

  it("has U+FFFD where a plugin cut a character in two", async () => {
    const { done } = screen([changing({ input: { text: "a\ud83d" } })]);
    expect((await done).input).toEqual({ text: "a\ufffd" });
  });
});

function circle(): object {
  const round: { text: string; self?: object } = { text: "a" };
  round.self = round;
  return round;
}

function nested(levels: number): unknown {
  return levels === 0 ? "x" : [nested(levels - 1)];
}
