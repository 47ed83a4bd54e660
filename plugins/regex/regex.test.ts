import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { aCall, aPart, describePlugin } from "../kernel/conformance.ts";
import type { OutputPart, PhaseSubject, Verdict } from "../kernel/phases.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import { regex } from "./regex.ts";
import { threadCpuMs } from "../../test/unit/thread-time.ts";

describePlugin(regex, {
  badConfigs: [
    {},
    { rules: [] },
    { rules: [{ name: "a", pattern: "(", action: "block" }] },
    { rules: [{ name: "a", pattern: "(?=x)", action: "block" }] },
    { rules: [{ name: "a", pattern: "(a)\\1", action: "block" }] },
    { rules: [{ name: "a", pattern: "a", action: "shout" }] },
  ],
});

const rules = [
  { name: "ticket", pattern: "(?i)\\bTICKET-[0-9]{4,8}\\b", action: "replace", replacement: "$1#" },
  { name: "poison", pattern: "po+ison", action: "block", on: "output" },
  { name: "cat", pattern: "cats?", action: "tag", on: "input" },
];
const hooksOf = async (window = 20) =>
  (await buildSnapshot(1, [regex], { regex: { config: { rules, windowCharacters: window } } }, {})).hooks;

const screenInput = async (input: PhaseSubject["screenInput"]["input"]) =>
  (await hooksOf()).screenInput[0]?.run(aCall(input));

/** Sends `text` in chunks and answers what came out, or that it was refused. */
async function stream(chunks: readonly string[], window = 20): Promise<string> {
  const hook = (await hooksOf(window)).screenOutput[0];
  let said = "";
  let held: string | null = null;
  const parts: Partial<OutputPart>[] = chunks.map((output) => ({ part: "chunk", output }));
  for (const part of [...parts, { part: "end", output: null } as const]) {
    const verdict: Verdict<OutputPart> | undefined = await hook?.run(aPart({ ...part, held }));
    if (verdict?.verdict !== "continue") return `${said}|refused`;
    const output = "subject" in verdict ? verdict.subject?.output : undefined;
    said += typeof output === "string" ? output : "";
    held = "held" in verdict ? (verdict.held ?? null) : null;
  }
  return said;
}

describe("regex", () => {
  it("replaces in every text of an input, takes the replacement as it is, and records the rules", async () => {
    expect(await screenInput({ a: "see ticket-12345", b: [{ c: "TICKET-1234." }] })).toMatchObject({
      verdict: "continue",
      subject: { input: { a: "see $1#", b: [{ c: "$1#." }] } },
      findings: [{ category: "regex", rule: "ticket" }],
    });
  });

  it("tags without a change, and judges outputs apart from inputs", async () => {
    expect(await screenInput({ a: "a cat and poison" })).toEqual({
      verdict: "continue",
      findings: [{ category: "regex", rule: "cat" }],
    });
    const whole = await (await hooksOf()).screenOutput[0]?.run(aPart({ output: ["a poison"] }));
    expect(whole).toMatchObject({ verdict: "reject", code: "rejected_by_policy" });
  });

  it("is done with a text on which a backtracking engine would not be", async () => {
    const config = { rules: [{ name: "a", pattern: "^(a+)+$", action: "block" }] };
    const { hooks } = await buildSnapshot(1, [regex], { regex: { config } }, {});
    const startedAt = threadCpuMs();
    expect(await hooks.screenInput[0]?.run(aCall({ text: `${"a".repeat(100_000)}b` }))).toEqual({
      verdict: "continue",
    });
    expect(threadCpuMs() - startedAt).toBeLessThan(2000);
  });

  it("lets nothing of a match out, however a stream is cut", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 30, maxLength: 30 }), async (sizes) => {
        const text = "🙂 your TICKET-123456 and ticket-9999 are here, all is well 🙂";
        const chunks: string[] = [];
        for (let at = 0, turn = 0; at < text.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          chunks.push(text.slice(at, at + size));
          at += size;
        }
        expect(await stream(chunks)).toBe("🙂 your $1# and $1# are here, all is well 🙂");
        expect(await stream(chunks.map((chunk) => chunk.replace("well", "poison")))).not.toContain("poison");
      }),
      { numRuns: 50 },
    );
  });

  it("ends a stream before what is refused", async () => {
    expect(await stream(["all is well, then comes some text of length, and po", "ooison"])).toMatch(/\|refused$/);
  });
});
