import { describe, expect, it } from "vitest";
import type { Json } from "../../src/contract/prediction.ts";
import type { CheckedEntry } from "../kernel/define-plugin.ts";
import { aCall, aPart, describePlugin } from "../kernel/conformance.ts";
import type { OutputPart, Verdict } from "../kernel/phases.ts";
import type { AskedModel, ModelQuestion, ModelReference, Services } from "../kernel/services.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import { modelGuard } from "./model-guard.ts";

const GUARD = "local/profanity-guard";

function aModel(change: Partial<AskedModel> = {}): AskedModel {
  const ref = { owner: "local", name: "profanity-guard", version: "f".repeat(64) };
  return { ref, lane: "guards", minInstances: 1, iterates: false, fields: ["text", "image"], ...change };
}

type Answer = (input: { [key: string]: Json }, question: ModelQuestion) => Json | Promise<Json>;
type World = { models: Record<string, AskedModel>; lanes: Record<string, string[]>; answer: Answer };

const flagging: Answer = ({ text, image }) => ({
  flagged: String(text ?? image).includes("bad"),
  categories: { violence: String(text ?? image).includes("bad"), other: null },
});

/** The operator's models: the guard flags what has "bad" in it as `violence`. */
function world(change: Partial<World> = {}) {
  const { models, lanes, answer }: World = { models: { [GUARD]: aModel() }, lanes: {}, answer: flagging, ...change };
  const asked: ModelQuestion[] = [];
  const found = (reference: ModelReference) => ("model" in reference ? reference.model : reference.deployment);
  const services: Pick<Services, "models" | "accounts"> = {
    models: {
      find: (reference) => Promise.resolve(models[found(reference)] ?? null),
      onLane: (lane, limit) => Promise.resolve((lanes[lane] ?? []).slice(0, limit)),
      async ask(question) {
        asked.push(question);
        return answer(question.input, question);
      },
      picture: (id, link) => Promise.resolve(link.includes(`/${id}/`) ? "data:image/png;base64,bad+" : null),
    },
    accounts: {
      find: (idOrName) => {
        const account = { accountId: `id of ${idOrName}`, accountName: idOrName, retentionMs: 1, weight: 3 };
        return Promise.resolve(idOrName === "nobody" ? null : account);
      },
    },
  };
  return { asked, services, said: (field: string) => asked.map(({ input }) => String(input[field])) };
}

async function hooksOf({ services }: ReturnType<typeof world>, config: object = {}) {
  const settings = { "model-guard": { config: { model: GUARD, ...config } } };
  return (await buildSnapshot(1, [modelGuard], settings, services)).hooks;
}

async function screened(given: ReturnType<typeof world>, config: object, input: { [key: string]: Json }) {
  return (await hooksOf(given, config)).screenInput[0]?.run(aCall(input));
}

async function screenedPart(given: ReturnType<typeof world>, config: object, part: Partial<OutputPart>) {
  return (await hooksOf(given, config)).screenOutput[0]?.run(aPart(part));
}

it("asks about no more than a few mebibytes of pictures at a time", async () => {
  let open = 0;
  let most = 0;
  const picture = `data:image/png;base64,${"A".repeat(3 * 1024 * 1024)}`;
  const given = world({
    async answer() {
      open += 1;
      most = Math.max(most, open);
      // Long enough that others, asked at the same time, would be open too.
      for (let turns = 0; turns < 200; turns += 1) await new Promise((resolve) => setImmediate(resolve));
      open -= 1;
      return { flagged: false, categories: {} };
    },
  });
  await screened(given, { imageField: "image" }, { images: [picture, `${picture}B`, `${picture}C`] });
  expect(given.said("image")).toHaveLength(3);
  expect(most).toBe(1);
});

describePlugin(modelGuard, {
  services: world().services,
  badConfigs: [
    {},
    { model: "no-owner" },
    { model: GUARD, deployment: "acme/guard" },
    { model: `${GUARD}:latest` },
    { model: GUARD, textField: null },
    { model: GUARD, timeoutMs: 0 },
    { model: GUARD, input: { threshold: [1] } },
  ],
});

describe("an input", () => {
  it("is asked about text by text, in the turn of its account, which pays unless another one shall", async () => {
    const given = world();
    const verdict = await screened(given, { input: { threshold: 0.5 } }, { a: "fine", b: [{ c: "something bad" }] });
    expect(verdict).toMatchObject({
      verdict: "reject",
      code: "rejected_by_policy",
      findings: [{ category: "violence", rule: GUARD }],
    });
    expect(JSON.stringify(verdict)).not.toContain("something");
    expect(given.asked.map(({ input }) => input)).toEqual(
      expect.arrayContaining([
        { threshold: 0.5, text: "fine" },
        { threshold: 0.5, text: "something bad" },
      ]),
    );
    const guarded = { accountId: "account-1", weight: 1 };
    expect(given.asked[0]).toMatchObject({ plugin: "model-guard", guarded, payer: "account-1", timeoutMs: 5000 });
    const paid = world();
    await screened(paid, { account: "operator" }, { a: "fine" });
    expect(paid.asked[0]).toMatchObject({ guarded, payer: "id of operator" });
  });

  it("that is flagged for an allowed category alone passes, and is recorded", async () => {
    expect(await screened(world(), { allowedCategories: ["violence"] }, { a: "bad" })).toEqual({
      verdict: "continue",
      findings: [{ category: "violence", rule: GUARD }],
    });
  });

  it("is asked about once while the verdict holds", async () => {
    const given = world();
    const { screenInput } = await hooksOf(given);
    for (let count = 0; count < 3; count += 1) await screenInput[0]?.run(aCall({ a: "same", b: "same" }));
    expect(given.asked).toHaveLength(1);
    const forgetful = world();
    const again = await hooksOf(forgetful, { cacheMs: 0 });
    for (let count = 0; count < 3; count += 1) await again.screenInput[0]?.run(aCall({ a: "same" }));
    expect(forgetful.asked).toHaveLength(3);
  });

  it("is judged in pieces that overlap, and messages of a list together, too", async () => {
    const given = world();
    await screened(given, { maxCharacters: 100, overlapCharacters: 10 }, { a: "x".repeat(95) + "badly put" });
    expect(given.said("text")).toEqual(["x".repeat(95) + "badly", "xxxxxbadly put"]);
    const split = world();
    expect(await screened(split, {}, { messages: ["b", "ad"] })).toMatchObject({ verdict: "reject" });
    expect(split.said("text").sort()).toEqual(["ad", "b", "bad"]);
  });

  it("with many short texts has them judged together, and is refused where that is still too much", async () => {
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`f${n}`, `text ${n}`]));
    const given = world();
    expect(await screened(given, { maxQuestions: 4 }, many)).toEqual({ verdict: "continue" });
    expect(given.asked.length).toBeLessThanOrEqual(4);
    const judgedTexts = given.said("text").join("\n").split("\n");
    expect(judgedTexts.sort()).toEqual(Object.values(many).sort());
    expect(await screened(world(), { maxQuestions: 2, maxCharacters: 100 }, many)).toMatchObject({
      verdict: "reject",
      code: "rejected_by_policy",
    });
  });

  it("has text files read, and pictures looked at where the guard takes some", async () => {
    const given = world();
    const input = { a: "data:text/plain;base64,YmFk", b: "data:image/png;base64,AAAA", c: "https://a.example/x.png" };
    expect(await screened(given, {}, input)).toMatchObject({ verdict: "reject" });
    expect(given.said("text").sort()).toEqual(["bad", "https://a.example/x.png"]);
    const seeing = world();
    await screened(seeing, { imageField: "image", textField: null }, input);
    expect(seeing.said("image").sort()).toEqual([input.b, input.c]);
    const narrow = world();
    await screened(narrow, { imageField: "image", textField: null, imageFields: ["other"] }, input);
    expect(narrow.said("image")).toEqual([input.b]);
    const strict = world();
    expect(await screened(strict, { imageField: "image", imageUrls: "refuse" }, input)).toMatchObject({
      verdict: "reject",
    });
    expect(strict.asked).toEqual([]);
  });

  it("of the guard's own model is not judged by it", async () => {
    const given = world();
    const { screenInput, screenOutput } = await hooksOf(given);
    const model = aModel().ref;
    expect(await screenInput[0]?.run({ ...aCall({ a: "bad" }), model })).toEqual({ verdict: "continue" });
    expect(await screenOutput[0]?.run(aPart({ model, output: "bad" }))).toEqual({ verdict: "continue" });
    expect(given.asked).toEqual([]);
  });

  it.each<[string, Partial<World>]>([
    ["is gone", { models: {} }],
    ["fails, or is late", { answer: () => Promise.reject(new Error("the model gave no answer: timed_out")) }],
    ["answers nothing", { answer: () => null }],
    ["answers a text", { answer: () => "flagged" }],
    ["says no yes or no", { answer: () => ({ flagged: "no", categories: [] }) }],
    ["says no names", { answer: () => ({ flagged: true, categories: [7] }) }],
  ])("can't be decided on when the model %s", async (_what, change) => {
    await expect(screened(world(change), {}, { a: "text" })).rejects.toThrow();
  });

  it("can't be decided on when the account that pays is gone", async () => {
    await expect(screened(world(), { account: "nobody" }, { a: "text" })).rejects.toThrow(/no account/);
  });

  it("is none of its business where it is on outputs", async () => {
    const given = world();
    expect(await screened(given, { on: "output" }, { a: "bad" })).toEqual({ verdict: "continue" });
    expect(await screenedPart(given, { on: "input" }, { output: "bad" })).toEqual({ verdict: "continue" });
    expect(await screenedPart(given, { logs: false }, { of: "logs", output: "bad" })).toEqual({ verdict: "continue" });
    expect(given.asked).toEqual([]);
  });
});

describe("an output", () => {
  it("that streams is judged in windows, and nothing of a word that is cut goes out", async () => {
    const given = world();
    const { screenOutput } = await hooksOf(given, { windowCharacters: 12, overlapCharacters: 4 });
    let said = "";
    let held: string | null = null;
    let refused = false;
    for (const output of ["all ", "is fine", " so far b", "a", "d to the end and on"]) {
      const verdict: Verdict<OutputPart> | undefined = await screenOutput[0]?.run(
        aPart({ part: "chunk", output, held }),
      );
      refused = verdict?.verdict === "reject";
      if (verdict?.verdict !== "continue" || !("subject" in verdict)) break;
      said += String(verdict.subject?.output);
      held = verdict.held ?? null;
    }
    expect(refused).toBe(true);
    expect(said).toBe("all is fine so f");
    expect(given.said("text")).toEqual(["all is fine so far b", "ar bad to the end and on"]);
    expect(given.asked[0]).toMatchObject({ guarded: { accountId: "account-1", weight: 3 }, payer: "account-1" });
  });

  it.each([null, "0:a text before"])(
    "that streams files has each looked at before it goes out, behind %j",
    async (held) => {
      const given = world();
      const link = `https://edge.example/v1/outputs/${aPart().predictionId}/token/1/out.png?signature=s`;
      const config = { imageField: "image" };
      for (const output of [link, "data:image/png;base64,bad+"]) {
        const part = { part: "chunk", output, held } as const;
        expect(await screenedPart(given, config, part)).toMatchObject({ verdict: "reject" });
      }
      const fine = { part: "chunk", output: "data:image/png;base64,AAAA", held } as const;
      expect(await screenedPart(given, config, fine)).toMatchObject({ verdict: "continue" });
      expect(given.said("image")).toEqual(["data:image/png;base64,bad+", "data:image/png;base64,bad+", fine.output]);
    },
  );

  it("that streams links to its files keeps them apart", async () => {
    const output = `https://edge.example/v1/outputs/${aPart().predictionId}/token/1/out.bin`;
    const services = world().services;
    services.models.picture = () => Promise.resolve(null);
    const verdict = await screenedPart({ ...world(), services }, {}, { part: "chunk", output });
    expect(verdict).toEqual({ verdict: "continue" });
  });

  it("of pieces is judged as one text", async () => {
    const given = world();
    expect(await screenedPart(given, {}, { output: ["all ", "is b", "ad"] })).toMatchObject({ verdict: "reject" });
    expect(given.said("text")).toEqual(["all is bad"]);
  });

  it("with pictures has its own looked at, and links elsewhere read", async () => {
    const given = world();
    const { predictionId } = aPart();
    const own = `/v1/outputs/${predictionId}/token/out.png`;
    const output = { image: own, more: "https://a.example/else", thumb: "data:image/png;base64,AAAA" };
    expect(await screenedPart(given, { imageField: "image" }, { output })).toMatchObject({ verdict: "continue" });
    const absolute = { ...output, image: `https://edge.example${own}` };
    expect(await screenedPart(given, { imageField: "image" }, { output: absolute })).toMatchObject({
      verdict: "reject",
    });
  });
});

it("a chunk that links to a picture waits until that was judged", async () => {
  const given = world();
  const link = `https://edge.example/v1/outputs/${aPart().predictionId}/token/out.png`;
  const chunk = { part: "chunk", output: link } as const;
  expect(await screenedPart(given, { imageField: "image" }, chunk)).toMatchObject({ verdict: "reject" });
  expect(given.said("image")).toEqual(["data:image/png;base64,bad+"]);
  expect(await screenedPart(world(), {}, chunk)).toMatchObject({ verdict: "continue" });
});

it("an output whose pictures are too large together can't be decided on", async () => {
  const given = world();
  const asked: string[] = [];
  given.services.models.picture = (_id, link) => {
    asked.push(link);
    return Promise.resolve(`data:image/png;base64,${"A".repeat(10 * 1024 * 1024)}`);
  };
  const output = Array.from({ length: 20 }, (_, n) => `/v1/outputs/id/token/${n}.png`).map((link) => ({
    link: `https://edge.example${link}`,
  }));
  await expect(screenedPart(given, { imageField: "image" }, { output })).rejects.toThrow(/too large/);
  expect(asked.length).toBeLessThan(5);
});

describe("published", () => {
  const entry = (config: object, change: Partial<CheckedEntry<unknown>> = {}): CheckedEntry<unknown> => ({
    ...{ account: null, model: null, config: { model: GUARD, ...config } },
    ...change,
  });
  const check = (given: ReturnType<typeof world>, ...entries: CheckedEntry<unknown>[]) =>
    modelGuard.check(entries, given.services);
  const other = aModel({ ref: { owner: "acme", name: "second", version: "e".repeat(64) } });
  const both = { [GUARD]: aModel(), "acme/second": other };

  it("is a guard that stands by in a lane of its own", async () => {
    await check(world({ lanes: { guards: [GUARD] } }), entry({}));
    // Two guards may share one.
    const shared = world({ models: both, lanes: { guards: ["acme/second", GUARD] } });
    await check(shared, entry({}), entry({ model: "acme/second" }, { model: "acme/echo" }));
    await check(world({ models: { "acme/d": aModel() } }), entry({ model: undefined, deployment: "acme/d" }));
    await check(world(), ...[]);
  });

  it.each<[string, Partial<World>, object, RegExp]>([
    ["is not there", { models: {} }, {}, /no model local\/profanity-guard/],
    ["has a deployment that is not there", {}, { model: undefined, deployment: "a/b" }, /no deployment a\/b/],
    ["has nothing that stands by", { models: { [GUARD]: aModel({ minInstances: 0 }) } }, {}, /pinned: true/],
    [
      "is deployed with none",
      { models: { "a/b": aModel({ minInstances: 0 }) } },
      { model: undefined, deployment: "a/b" },
      /min_instances/,
    ],
    ["waits where all do", { models: { [GUARD]: aModel({ lane: "default" }) } }, {}, /lane.*default.*guards/],
    ["waits where another does", { lanes: { guards: ["acme/echo", GUARD] } }, {}, /"guards", and so does acme\/echo:/],
    ["has no such field", { models: { [GUARD]: aModel({ fields: ["words"] }) } }, {}, /no field "text".*words/],
    ["is to be paid by nobody", {}, { account: "nobody" }, /no account nobody/],
  ])("it is refused when its model %s", async (_what, change, config, message) => {
    const refused = check(world(change), entry(config));
    await expect(refused).rejects.toMatchObject({ code: "guard_model_unfit" });
    await expect(refused).rejects.toThrow(message);
  });

  it("it is refused where a model would guard itself, alone or through another", async () => {
    const given = world({ models: both });
    await expect(check(given, entry({}, { model: GUARD }))).rejects.toMatchObject({ code: "guard_cycle" });
    const mutual = [entry({}, { model: "acme/second" }), entry({ model: "acme/second" }, { model: GUARD })];
    await expect(check(given, ...mutual)).rejects.toMatchObject({ code: "guard_cycle" });
    await check(given, entry({ model: "acme/second" }, { model: GUARD }));
  });
});
