import { describe, expect, it } from "vitest";
import { aCall, describePlugin } from "../kernel/conformance.ts";
import type { Answer, PredictionCall } from "../kernel/phases.ts";
import type { ResponseStore, ResponseTerms } from "../kernel/services.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import { responseCache } from "./response-cache.ts";

/** Remembers at once. */
function memory() {
  const kept = new Map<string, Answer>();
  const asked: { key: string; terms: ResponseTerms }[] = [];
  const responses: ResponseStore = {
    find: async (account, key) => kept.get(`${account} ${key}`) ?? null,
    remember(key, terms) {
      asked.push({ key, terms });
      return { service: "responses", id: crypto.randomUUID(), data: { key, ...terms } };
    },
  };
  return { kept, asked, responses };
}

describePlugin(responseCache, {
  services: { responses: memory().responses },
  badConfigs: [{ ttlMs: 999 }, { maxBytes: 10_000_000 }, { accountBytes: -1 }, { generation: 0.5 }],
});

/** Asks twice: what is asked first is remembered in between, whoever asks then. */
async function askTwice(first: Partial<PredictionCall>, second: Partial<PredictionCall>, config: object[] = [{}]) {
  const { kept, asked, responses } = memory();
  const verdicts: unknown[] = [];
  for (const [index, call] of [first, second].entries()) {
    const settings = { "response-cache": { config: config[index] ?? config[0] } };
    const snapshot = await buildSnapshot(1, [responseCache], settings, { responses });
    verdicts.push(await snapshot.hooks.route[0]?.run({ ...aCall(), ...call }));
    const [only] = asked;
    if (only !== undefined) kept.set(`${aCall().principal.accountId} ${only.key}`, { output: "o", yielded: false });
  }
  return { verdicts, asked };
}

describe("response-cache", () => {
  const input = { text: "hello", more: { b: 1, a: [1, 2] } };

  it("answers the same input again, whatever the order of its keys", async () => {
    const same = { more: { a: [1, 2], b: 1 }, text: "hello" };
    const { verdicts } = await askTwice({ input }, { input: same });
    expect(verdicts).toMatchObject([
      { verdict: "continue", reservation: { service: "responses" } },
      {
        verdict: "answer",
        answer: { output: "o", yielded: false, key: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
        findings: [{ category: "cache", rule: "hit" }],
      },
    ]);
  });

  const { principal, model } = aCall();
  it.each<[string, Partial<PredictionCall>, object?]>([
    ["another input", { input: { text: "Hello" } }],
    ["a list in another order", { input: { ...input, more: { b: 1, a: [2, 1] } } }],
    ["another version", { input, model: { ...model, version: "1".repeat(64) } }],
    ["another model of the same version", { input, model: { ...model, name: "other" } }],
    ["another account", { input, principal: { ...principal, accountId: "account-2" } }],
    ["another generation of the settings", { input }, { generation: 1 }],
  ])("does not answer %s", async (_what, other, config = {}) => {
    const { verdicts } = await askTwice({ input }, other, [{}, config]);
    expect(verdicts).toMatchObject([{ verdict: "continue" }, { verdict: "continue" }]);
  });

  it.each<[string, Partial<PredictionCall>]>([
    ["a model that doesn't say that it is deterministic", { input, deterministic: false }],
    ["an input with a link, behind which anything may lie", { input: { image: " HTTPS://example.com/a.png" } }],
    ["a link deep within", { input: { a: [{ b: ["http://example.com"] }] } }],
    ["a large input", { input, inputBytes: 1024 * 1024 + 1 }],
  ])("leaves %s alone", async (_what, call) => {
    expect(await askTwice(call, call)).toEqual({
      verdicts: [{ verdict: "continue" }, { verdict: "continue" }],
      asked: [],
    });
  });

  it("keeps nothing for longer than the account's data", async () => {
    const short = { ...principal, retentionMs: 2000 };
    const { asked } = await askTwice({ input, principal: short }, { input: { text: "b" } }, [{ ttlMs: 5000 }]);
    expect(asked.map(({ terms }) => terms)).toEqual([
      { ttlMs: 2000, maxBytes: 65_536, accountBytes: 16_777_216 },
      { ttlMs: 5000, maxBytes: 65_536, accountBytes: 16_777_216 },
    ]);
  });
});
