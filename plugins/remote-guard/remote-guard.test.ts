import { afterEach, describe, expect, it, vi } from "vitest";
import { aCall, aPart, describePlugin } from "../kernel/conformance.ts";
import type { OutputPart, Verdict } from "../kernel/phases.ts";
import type { Services } from "../kernel/services.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import { Batches } from "./batches.ts";
import { Breaker } from "./breaker.ts";
import { remoteGuard } from "./remote-guard.ts";

type Asked = {
  url: string;
  body: { input?: string[]; texts?: string[]; direction?: string; model?: string };
  token: string | null;
};

/** A moderation service: flags texts with "bad" as `violence`, and with "rude" as `tone`. */
function service(answer?: (asked: Asked) => Response | Promise<Response>) {
  const asked: Asked[] = [];
  const fetch: Services["outbound"]["fetch"] = async (url, init) => {
    const one: Asked = {
      url,
      body: JSON.parse(init.body ?? "") as Asked["body"],
      token: new Headers(init.headers).get("authorization"),
    };
    asked.push(one);
    if (answer !== undefined) return answer(one);
    const texts = one.body.input ?? one.body.texts ?? [];
    const results = texts.map((text) => {
      const categories = { violence: text.includes("bad"), tone: text.includes("rude") };
      const flagged = categories.violence || categories.tone;
      return one.body.input === undefined
        ? { flagged, categories: Object.keys(categories).filter((name) => categories[name as "tone"]) }
        : { flagged, categories };
    });
    return Response.json({ results });
  };
  return { asked, services: { outbound: { fetch }, secrets: { get: (name: string) => `value-of-${name}` } } };
}

async function hooksOf(services: Partial<Services>, config: object = {}) {
  const settings = { "remote-guard": { config: { url: "https://moderation.example.com/v1", ...config } } };
  return (await buildSnapshot(1, [remoteGuard], settings, services)).hooks;
}

describePlugin(remoteGuard, {
  services: service().services,
  badConfigs: [
    {},
    { url: "ftp://example.com" },
    { url: "https://a.example", secret: "ADMIN_KEY" },
    { url: "https://a.example", timeoutMs: 0 },
  ],
});

describe("remote-guard", () => {
  it("asks an OpenAI-compatible service once for all texts, and records categories, not texts", async () => {
    const { asked, services } = service();
    const hooks = await hooksOf(services, { secret: "PLUGIN_KEY", model: "omni" });
    const verdict = await hooks.screenInput[0]?.run(aCall({ a: "fine", b: [{ c: "something bad" }, "fine"] }));
    expect(verdict).toMatchObject({
      verdict: "reject",
      code: "rejected_by_policy",
      findings: [{ category: "violence", rule: "remote-guard" }],
    });
    expect(JSON.stringify(verdict)).not.toContain("something");
    expect(asked).toMatchObject([
      { url: "https://moderation.example.com/v1/moderations", token: "Bearer value-of-PLUGIN_KEY" },
    ]);
    expect(asked[0]?.body).toEqual({
      input: expect.arrayContaining(["fine", "something bad"]) as unknown,
      model: "omni",
    });
  });

  it("asks in the small contract too, and lets pass what is flagged for an allowed category alone", async () => {
    const { asked, services } = service();
    const hooks = await hooksOf(services, { format: "edgeplane", allowedCategories: ["tone"] });
    expect(await hooks.screenInput[0]?.run(aCall({ a: "rude" }))).toEqual({
      verdict: "continue",
      findings: [{ category: "tone", rule: "remote-guard" }],
    });
    expect(await hooks.screenInput[0]?.run(aCall({ a: "rude and bad" }))).toMatchObject({ verdict: "reject" });
    expect(asked[0]?.body).toEqual({ texts: ["rude"], direction: "input" });
  });

  it("remembers an answer", async () => {
    const { asked, services } = service();
    const hooks = await hooksOf(services);
    for (let count = 0; count < 3; count += 1) await hooks.screenInput[0]?.run(aCall({ a: "same" }));
    expect(asked).toHaveLength(1);
    const forgetful = await hooksOf(services, { cacheMs: 0 });
    for (let count = 0; count < 3; count += 1) await forgetful.screenInput[0]?.run(aCall({ a: "same" }));
    expect(asked).toHaveLength(4);
  });

  it("puts texts of concurrent calls into few questions", async () => {
    const { asked, services } = service();
    const hooks = await hooksOf(services);
    await Promise.all(Array.from({ length: 40 }, async (_, n) => hooks.screenInput[0]?.run(aCall({ a: `text ${n}` }))));
    expect(asked.flatMap(({ body }) => body.input ?? [])).toHaveLength(40);
    expect(asked.length).toBeLessThanOrEqual(4);
  });

  it.each<[string, (asked: Asked) => Response | Promise<Response>]>([
    ["refuses", () => new Response("no", { status: 500 })],
    ["redirects", () => new Response(null, { status: 302, headers: { location: "http://127.0.0.1/" } })],
    ["answers nonsense", () => Response.json({ results: "many" })],
    ["answers on another number of texts", () => Response.json({ results: [] })],
    ["answers without end", () => new Response(new Uint8Array(2_000_000))],
    ["is away", () => Promise.reject(new Error("unreachable"))],
  ])("can't decide when the service %s", async (_what, answer) => {
    const hooks = await hooksOf(service(answer).services);
    await expect(hooks.screenInput[0]?.run(aCall({ a: "text" }))).rejects.toThrow();
  });

  it("leaves a service alone that failed five times, and tries again", async () => {
    const { asked, services } = service(() => new Response("no", { status: 500 }));
    const hooks = await hooksOf(services, { breakerFailures: 5 });
    for (let count = 0; count < 8; count += 1) {
      await expect(hooks.screenInput[0]?.run(aCall({ a: `${count}` }))).rejects.toThrow();
    }
    expect(asked).toHaveLength(5);
  });

  it("holds a stream back until a window of it was judged", async () => {
    const { asked, services } = service();
    const hooks = await hooksOf(services, { windowCharacters: 12, overlapCharacters: 4 });
    const said: unknown[] = [];
    let held: string | null = null;
    for (const output of ["all ", "is fine", " so far, ", "then b", "ad"]) {
      const verdict: Verdict<OutputPart> | undefined = await hooks.screenOutput[0]?.run(
        aPart({ part: "chunk", output, held }),
      );
      if (verdict?.verdict !== "continue") throw new Error("refused too early");
      said.push("subject" in verdict ? verdict.subject?.output : output);
      held = "held" in verdict ? (verdict.held ?? null) : null;
    }
    expect(said.join("")).toBe("all is fine so f");
    const end = await hooks.screenOutput[0]?.run(aPart({ part: "end", output: null, held }));
    expect(end).toMatchObject({ verdict: "reject" });
    expect(asked.at(-1)?.body.input?.[0]).toBe("ar, then bad");
  });

  it.each([
    "data:image/png;base64,AAAA",
    `https://edge.example/v1/outputs/${aPart().predictionId}/token/1/out.png?s=1`,
  ])("hands on a file of a stream as a chunk by itself: %s", async (output) => {
    const hooks = await hooksOf(service().services);
    expect(await hooks.screenOutput[0]?.run(aPart({ part: "chunk", output }))).toEqual({ verdict: "continue" });
  });

  it("has nothing to do with what it is not on", async () => {
    const { asked, services } = service();
    const hooks = await hooksOf(services, { on: "output" });
    expect(await hooks.screenInput[0]?.run(aCall({ a: "bad" }))).toEqual({ verdict: "continue" });
    expect(asked).toEqual([]);
  });
});

describe("a batch", () => {
  afterEach(() => void vi.useRealTimers());

  it("whose leader goes away is asked for by each of the others", async () => {
    vi.useFakeTimers();
    const asked: (readonly string[])[] = [];
    const batches = new Batches<string>(
      (texts) => {
        asked.push(texts);
        return texts.length > 1 ? new Promise(() => {}) : Promise.resolve(texts);
      },
      10,
      1000,
    );
    expect(await batches.judge(["lone"])).toEqual(["lone"]);
    void batches.judge(["leader"]);
    const followers = [batches.judge(["one"]), batches.judge(["two"])];
    await vi.advanceTimersByTimeAsync(1010);
    expect(await Promise.all(followers)).toEqual([["one"], ["two"]]);
    expect(asked).toEqual([["lone"], ["leader", "one", "two"], ["one"], ["two"]]);
  });
});

describe("a breaker", () => {
  it("opens, lets one call try when its time has come, and closes when that succeeds", async () => {
    const breaker = new Breaker(2, 100);
    let now = 0;
    let calls = 0;
    const run = (fails: boolean) =>
      breaker.run(
        async () => {
          calls += 1;
          if (fails) throw new Error("failed");
          return "well";
        },
        () => now,
      );
    for (let count = 0; count < 4; count += 1) await expect(run(true)).rejects.toThrow();
    expect(calls).toBe(2);
    now = 100;
    const tries = [run(false), run(false)];
    await expect(tries[1]).rejects.toThrow("left alone");
    expect(await tries[0]).toBe("well");
    expect(await run(false)).toBe("well");
  });
});
