import { describe, expect, it } from "vitest";
import type { Json } from "../../src/contract/prediction.ts";
import { aCall, aPart, describePlugin } from "../kernel/conformance.ts";
import type { OutputPart, PredictionCall, Verdict } from "../kernel/phases.ts";
import type { Artifacts, Services } from "../kernel/services.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import { contentSafety } from "./content-safety.ts";
import { threadCpuMs } from "../../test/unit/thread-time.ts";

/** In memory; `made` counts what was compiled for it. */
function artifactsOf(kept = new Map<string, Uint8Array>()) {
  const counts = { made: 0 };
  const artifacts: Artifacts = {
    get: async (name, make) => {
      const known = kept.get(name);
      if (known !== undefined) return known;
      counts.made += 1;
      const made = await make();
      kept.set(name, made);
      return made;
    },
  };
  return { artifacts, kept, counts };
}

describePlugin(contentSafety, {
  services: { artifacts: artifactsOf().artifacts },
  badConfigs: [
    { lists: [{ name: "x", terms: [] }] },
    { lists: [{ name: "X y", terms: ["a"] }] },
    { lists: [{ name: "x", terms: ["***"] }] },
    { lists: [{ name: "x", terms: ["a"], action: "explode" }] },
    { patterns: { passport: "block" } },
    {
      lists: Array.from({ length: 2 }, (_, list) => ({
        name: `l${list}`,
        terms: Array.from({ length: 51_000 }, (_, at) => `a${list}b${at}`),
      })),
    },
  ],
  subjects: {
    screenInput: [aCall({ messages: [{ content: "d a r n" }] }), aCall({ "darn it": "card 4111 1111 1111 1111" })],
    screenOutput: [aPart({ output: ["da", "rn"] }), aPart({ part: "chunk", output: "some d", held: null })],
  },
});

const list = (action: string, ...terms: string[]) => ({
  lists: [{ name: "house", category: "insult", action, terms }],
});

async function hooks(config: unknown, services: Partial<Services> = { artifacts: artifactsOf().artifacts }) {
  const snapshot = await buildSnapshot(1, [contentSafety], { "content-safety": { config } }, services);
  const [input] = snapshot.hooks.screenInput;
  const [output] = snapshot.hooks.screenOutput;
  if (input === undefined || output === undefined) throw new Error("there is no hook");
  return {
    input: (value: { [key: string]: Json }) => input.run(aCall(value)) as Verdict<PredictionCall>,
    output: (part: Partial<OutputPart>) => output.run(aPart(part)) as Verdict<OutputPart> & { held?: string | null },
  };
}

/** Streams `chunks` as the pipeline does; what went out, and the verdict that ended it, if one did. */
async function stream(config: unknown, chunks: string[], of: OutputPart["of"] = "output") {
  const { output } = await hooks(config);
  let held: string | null = null;
  let out = "";
  for (const [index, chunk] of [...chunks, null].entries()) {
    const part = index === chunks.length ? ("end" as const) : ("chunk" as const);
    const verdict = output({ of, part, output: chunk, held });
    if (verdict.verdict !== "continue") return { out, verdict };
    const screened = "subject" in verdict && verdict.subject !== undefined ? verdict.subject.output : chunk;
    if (screened !== null) out += String(screened);
    if ("held" in verdict && verdict.held !== undefined) held = verdict.held;
  }
  return { out, verdict: null };
}

describe("input", () => {
  it.each<[string, { [key: string]: Json }]>([
    ["a message that is not the last", { messages: [{ content: "you b.l.o.c.k.h.e.a.d" }, { content: "hello" }] }],
    ["a field, deep", { a: [{ b: { c: [[{ d: "Ｂlockhead" }]] } }] }],
    ["the name of a field", { a: { "block\u200bhead": 1 } }],
    ["a list of pieces", { prompt: ["you block", "head"] }],
    ["one of a list of texts", { prompts: ["hello", "blockhead", "again"] }],
    ["a text in a data URI", { file: `data:text/plain;base64,${btoa("you blockhead")}` }],
  ])("is blocked for %s, and the verdict says category and rule, not the text", async (_what, input) => {
    const verdict = (await hooks(list("block", "blockhead"))).input(input);
    expect(verdict).toMatchObject({
      verdict: "reject",
      code: "rejected_by_policy",
      findings: [{ category: "insult", rule: "house" }],
    });
    expect(JSON.stringify(verdict).toLowerCase()).not.toContain("head");
  });

  it("is masked where it was found, and is left alone elsewhere", async () => {
    const { input } = await hooks({ ...list("mask", "darn"), patterns: { email: "mask" } });
    const given = {
      text: "oh d a r n it",
      nested: [{ "darn key": "mail bob@example.com" }],
      pieces: ["da", "rn"],
      n: 7,
    };
    expect(input(given)).toMatchObject({
      verdict: "continue",
      subject: {
        input: { text: "oh ******* it", nested: [{ "**** key": "mail ***************" }], pieces: ["**", "**"], n: 7 },
      },
      findings: [
        { category: "insult", rule: "house" },
        { category: "email", rule: "email" },
      ],
    });
    expect(input({ text: "a darning needle" })).toEqual({ verdict: "continue" });
  });

  it("passes with its tag, and with the shadow of a refusal", async () => {
    const finding = { category: "insult", rule: "house" };
    expect((await hooks(list("tag", "darn"))).input({ text: "darn" })).toEqual({
      verdict: "continue",
      findings: [finding],
    });
    expect((await hooks(list("shadow", "darn"))).input({ text: "darn" })).toMatchObject({
      verdict: "shadow",
      code: "rejected_by_policy",
      findings: [finding],
    });
  });

  it("says of each finding which action was its own, where they differ", async () => {
    const config = { ...list("mask", "darn"), patterns: { email: "shadow", phone: "tag" } };
    expect((await hooks(config)).input({ text: "darn a@b.example +14155552671" })).toMatchObject({
      verdict: "continue",
      findings: [
        { category: "insult", rule: "house" },
        { category: "phone", rule: "e164 (tag)" },
        { category: "email", rule: "email (shadow)" },
      ],
    });
  });

  it("that is too deep to be screened is blocked", async () => {
    let deep: Json = "darn";
    for (let level = 0; level < 3000; level += 1) deep = [deep];
    expect((await hooks(list("tag", "darn"))).input({ deep })).toMatchObject({
      verdict: "reject",
      code: "rejected_by_policy",
    });
  });

  it("keeps apart two fields whose masked names are the same", async () => {
    const { input } = await hooks(list("mask", "darn", "drat"));
    const verdict = input({ a: { darn: 1, drat: 2, "****": 3 } });
    expect(verdict).toMatchObject({ subject: { input: { a: { "****2": 1, "****3": 2, "****": 3 } } } });
  });

  it("of many findings in many pieces takes no more than its time", async () => {
    const { input } = await hooks(list("mask", "darn"));
    const startedAt = threadCpuMs();
    const verdict = input({ pieces: Array.from({ length: 20_000 }, () => "darn ") });
    expect(threadCpuMs() - startedAt).toBeLessThan(4000);
    expect(verdict).toMatchObject({ subject: { input: { pieces: expect.arrayContaining(["**** "]) as unknown } } });
  });

  it("is not looked at where that is turned off, nor are the bytes of other media", async () => {
    const off = await hooks({ ...list("block", "darn"), screen: { input: false } });
    expect(off.input({ text: "darn" })).toEqual({ verdict: "continue" });
    expect(off.output({ output: "darn" })).toMatchObject({ verdict: "reject" });
    const { input } = await hooks(list("block", "darn"));
    expect(input({ image: "data:image/png;base64,darn/darn+darn" })).toEqual({ verdict: "continue" });
  });
});

describe("output", () => {
  it("holds back what may become something, and no more", async () => {
    const { output } = await hooks(list("block", "blockhead"));
    const first = output({ part: "chunk", output: "Hello there, you bl" });
    expect(first).toMatchObject({ verdict: "continue", subject: { output: "Hello there, you " } });
    expect(output({ part: "chunk", output: "ock quote", held: first.held ?? null })).toMatchObject({
      subject: { output: "block quote" },
    });
  });

  it("cuts a stream before what it blocks", async () => {
    const { out, verdict } = await stream(list("block", "blockhead"), ["You are a b", "l o c", "k h e a d, ", "you"]);
    expect(out).toBe("You are a ");
    expect(verdict).toMatchObject({ verdict: "reject", findings: [{ category: "insult", rule: "house" }] });
  });

  it("masks in a stream, in logs as in output, and lets go what is held at its end", async () => {
    const config = { ...list("mask", "darn"), patterns: { card: "mask" } };
    const chunks = ["card 4111 11", "11 1111 1", "111 and da", "rn, dar"];
    expect((await stream(config, chunks)).out).toBe("card ******************* and ****, dar");
    expect((await stream(config, chunks, "logs")).out).toBe("card ******************* and ****, dar");
  });

  it("reads the whole of what was streamed as one text", async () => {
    const { output } = await hooks(list("mask", "darn"));
    expect(output({ output: ["oh da", "rn it"] })).toMatchObject({ subject: { output: ["oh **", "** it"] } });
    expect(output({ of: "error", output: "darn: no memory" })).toMatchObject({
      subject: { output: "****: no memory" },
    });
  });

  it("is refused when what was held of it is lost", async () => {
    const { output } = await hooks(list("mask", "darn"));
    expect(output({ part: "chunk", output: "rn", held: "{}" })).toMatchObject({
      verdict: "reject",
      code: "guard_unavailable",
    });
  });
});

describe("large lists", () => {
  const many = (mark: string): string[] =>
    Array.from(
      { length: 600 },
      (_, at) => `${mark}${String.fromCharCode(97 + (at % 26), 97 + Math.floor(at / 26))}end`,
    );

  it("are compiled once, and read from what was kept", async () => {
    const store = artifactsOf();
    const config = list("block", ...many("kept"));
    expect((await hooks(config, store)).input({ text: "a keptcaend b" })).toMatchObject({ verdict: "reject" });
    await hooks(config, store);
    expect(store.counts.made).toBe(1);
    expect([...store.kept.keys()]).toEqual([expect.stringMatching(/^content-safety\.words\.1\.[0-9a-f]{64}$/)]);
  });

  it("are compiled anew where what was kept is damaged", async () => {
    const store = artifactsOf();
    store.artifacts.get = async (_name, make) => (await make()).map((byte, at) => (at === 500 ? byte ^ 1 : byte));
    const { input } = await hooks(list("block", ...many("damaged")), store);
    expect(input({ text: "a damagedcaend b" })).toMatchObject({ verdict: "reject" });
  });

  it("name the term that can't be looked for", async () => {
    const bad = hooks(list("block", ...many("bad"), "...", "!?"));
    await expect(bad).rejects.toMatchObject({ code: "plugin_invalid" });
    await expect(bad).rejects.toThrow(/"\.\.\." can't.*1 more/);
  });
});
