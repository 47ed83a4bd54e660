/** Screening of what models say, with plugins that hold back, refuse and take their time. */
import { describe, expect, it, vi } from "vitest";
import * as z from "zod";
import { definePlugin } from "../../../plugins/kernel/define-plugin.ts";
import { judge, proceed } from "../../../plugins/kernel/phases.ts";
import type { OutputPart } from "../../../plugins/kernel/phases.ts";
import { buildSnapshot } from "../../../plugins/kernel/snapshot.ts";
import type { Snapshot } from "../../../plugins/kernel/snapshot.ts";
import type { PoolEvent } from "../../contract/event.ts";
import type { Json } from "../../contract/prediction.ts";
import type { Screened, ScreenedEvent } from "../../shard/types.ts";
import { screenClaim } from "./screen-claim.ts";
import type { LargeOutputs, Standing } from "./screen-claim.ts";
import { claimsOf, deliverScreened, silent } from "./screen-events.ts";
import { createScreenings } from "./screenings.ts";

const model = { owner: "acme", name: "echo", version: "0".repeat(64) };
const start: Standing = { nextSeq: 0, held: null, isOver: false };
const noLarge: LargeOutputs = {
  read: async () => null,
  write: async () => {},
  readText: async () => null,
  writeText: async () => {},
};

function claim(id = "a", nextSeq = 0): Screened {
  return { id, token: `token of ${id}`, accountId: "account", model, nextSeq, held: null };
}

function eventsOf(id: string, ...bodies: object[]): PoolEvent[] {
  return bodies.map((body, seq) => ({ id, token: `token of ${id}`, seq, ...body }) as PoolEvent);
}

/**
 * Masks the word "secret" wherever it is, over the borders of chunks: it holds back as much as may be its beginning.
 */
const masker = definePlugin({
  name: "masker",
  apiVersion: 1,
  config: z.strictObject({}),
  phases: ["screenOutput"],
  setup: () => ({
    screenOutput({ part, output, held, ...subject }) {
      if (part === "whole") {
        const text = JSON.stringify(output);
        if (!text.includes("secret")) return proceed;
        const findings = [{ category: "words", rule: "secret" }];
        return { verdict: "continue", subject: { ...subject, part, held, output: masked(output) }, findings };
      }
      const text = (held ?? "") + (typeof output === "string" ? output : "");
      const clean = text.replaceAll("secret", "***");
      let keep = part === "end" ? 0 : 5;
      while (keep > 0 && !(clean.length >= keep && "secret".startsWith(clean.slice(-keep)))) keep -= 1;
      const passed = keep === 0 ? clean : clean.slice(0, -keep);
      return {
        verdict: "continue",
        subject: { ...subject, part, held, output: passed },
        held: keep === 0 ? null : clean.slice(-keep),
        ...(clean === text ? {} : { findings: [{ category: "words", rule: "secret" }] }),
      };
    },
  }),
});

function masked(value: Json): Json {
  return JSON.parse(JSON.stringify(value).replaceAll("secret", "***")) as Json;
}

function judging(
  decide: (part: Readonly<OutputPart>) => ReturnType<ReturnType<typeof judge<"screenOutput">>["judge"]>,
) {
  return definePlugin({
    name: "judging",
    apiVersion: 1,
    config: z.strictObject({}),
    phases: ["screenOutput"],
    setup: () => ({ screenOutput: judge(decide) }),
  });
}

function snapshotOf(...plugins: Parameters<typeof buildSnapshot>[1]): Promise<Snapshot> {
  return buildSnapshot(1, plugins, Object.fromEntries(plugins.map(({ name }) => [name, {}])), {});
}

const chunksOf = (events: readonly ScreenedEvent[]) =>
  events.flatMap((event) => (event.type === "output" ? [event.chunk] : []));

describe("a claim's events", () => {
  it("hold back what may go on, in whatever pieces it comes, and give it up at the end", async () => {
    const hooks = await snapshotOf(masker);
    const text = "a secret is no sec, no secretary, se";
    for (let size = 1; size <= 9; size += 1) {
      const pieces = text.match(new RegExp(`.{1,${size}}`, "g")) ?? [];
      const bodies = [...pieces.map((chunk) => ({ type: "output", chunk })), { type: "succeeded", output: pieces }];
      const events = eventsOf("a", ...bodies);
      const passed: ScreenedEvent[] = [];
      // Each chunk in a request of its own: what is held travels with the events, as JSON.
      let standing = start;
      for (const event of events) {
        const one = await screenClaim(hooks, claim(), [event], standing, noLarge);
        passed.push(...one.events);
        standing = JSON.parse(JSON.stringify(one.standing)) as Standing;
      }
      const tail = passed.at(-1)?.tail?.output ?? "";
      expect([...chunksOf(passed), tail].join("")).toBe(text.replaceAll("secret", "***"));
      expect(passed.map(({ seq }) => seq)).toEqual(events.map(({ seq }) => seq));
      expect(chunksOf(passed).join("")).not.toContain("secret");
    }
  });

  it("of logs have a state of their own; an error's message and a large output are screened, too", async () => {
    const hooks = await snapshotOf(masker);
    const stored = new Map<string, Json>([["key", { text: "a secret" }]]);
    const large: LargeOutputs = {
      ...noLarge,
      read: async (key) => stored.get(key) ?? null,
      write: async (key, output) => void stored.set(key, output),
    };
    const events = eventsOf(
      "a",
      { type: "log", text: "a sec" },
      { type: "output", chunk: "ret" },
      { type: "log", text: "ret" },
      { type: "succeeded", outputBlob: "key" },
    );
    const { events: passed } = await screenClaim(hooks, claim(), events, start, large);
    expect(passed).toMatchObject([
      { text: "a ", held: { logs: { masker: "sec" } } },
      { chunk: "ret", held: { logs: { masker: "sec" }, output: {} } },
      { text: "***", held: null, verdicts: [{ plugin: "masker", action: "change", rule: "secret" }] },
      { type: "succeeded" },
    ]);
    expect(stored.get("key")).toEqual({ text: "a ***" });
    const error = { code: "model_error", message: "no secret" };
    const failure = await screenClaim(
      hooks,
      claim(),
      eventsOf("a", { type: "failed", kind: "model", error }),
      start,
      large,
    );
    expect(failure.events).toMatchObject([{ error: { code: "model_error", message: "no ***" } }]);
  });

  it("end with the first that is refused; nothing held back goes out", async () => {
    const hooks = await snapshotOf(
      judging(({ output }) =>
        output === "bad" ? { verdict: "reject", code: "rejected_by_policy", message: "No." } : proceed,
      ),
    );
    const events = eventsOf(
      "a",
      { type: "output", chunk: "good" },
      { type: "output", chunk: "bad" },
      { type: "succeeded" },
    );
    const { events: passed, standing } = await screenClaim(hooks, claim(), events, start, noLarge);
    expect(passed).toMatchObject([
      { chunk: "good" },
      { type: "failed", seq: 1, error: { code: "rejected_by_policy" }, verdicts: [{ action: "reject" }] },
      { type: "succeeded", unscreened: true },
    ]);
    expect(standing).toMatchObject({ nextSeq: 2, isOver: true });
  });

  it("tell what the run took, also where its output is refused", async () => {
    const hooks = await snapshotOf(judging(() => ({ verdict: "reject", code: "rejected_by_policy", message: "No." })));
    const usage = { device: "cpu", queuedMs: 0, runMs: 1, gpuUs: 1000 };
    const events = eventsOf("a", { type: "succeeded", output: "bad", usage });
    const { events: passed } = await screenClaim(hooks, claim(), events, start, noLarge);
    expect(passed).toMatchObject([{ type: "failed", usage }]);
  });

  it("that the shard has, or misses one before, are not screened but marked", async () => {
    const hooks = await snapshotOf(masker);
    const [first, second, third, fourth] = eventsOf(
      "a",
      ...["a secret", "b secret", "c", "d secret"].map((chunk) => ({ type: "output", chunk })),
    ) as [PoolEvent, PoolEvent, PoolEvent, PoolEvent];
    const { events: seen } = await screenClaim(hooks, claim(), [first, second], { ...start, nextSeq: 1 }, noLarge);
    expect(seen).toMatchObject([{ chunk: "a secret", unscreened: true }, { chunk: "b ***" }]);
    const { events: gap } = await screenClaim(hooks, claim(), [third, fourth], { ...start, nextSeq: 1 }, noLarge);
    expect(gap).toMatchObject([{ unscreened: true }, { unscreened: true }]);
  });

  it("have the files screened that they link to, before anybody has the link", async () => {
    const hooks = await snapshotOf(masker);
    const files = new Map([["predictions/a/output/token of a/out.txt", "no secret"]]);
    const large: LargeOutputs = {
      ...noLarge,
      readText: async (key) => files.get(key) ?? null,
      writeText: async (key, text) => void files.set(key, text),
    };
    const link = "https://edge.test/v1/outputs/a/token of a/out.txt/notes.txt?signature=x";
    const others = "https://edge.test/v1/outputs/b/token of b/out.txt?signature=x";
    const events = eventsOf("a", { type: "succeeded", output: { notes: link, also: [link, others] } });
    const { events: passed } = await screenClaim(hooks, claim(), events, start, large);
    expect(passed).toMatchObject([{ output: { notes: link }, verdicts: [{ rule: "secret" }] }]);
    expect([...files]).toEqual([["predictions/a/output/token of a/out.txt", "no ***"]]);
  });

  it("are refused when plugins hold back more than can be kept", async () => {
    const hoarder = definePlugin({
      name: "hoarder",
      apiVersion: 1,
      config: z.strictObject({}),
      phases: ["screenOutput"],
      setup: () => ({ screenOutput: () => ({ verdict: "continue", held: "x".repeat(300_000) }) }),
    });
    const events = eventsOf("a", { type: "output", chunk: "x" });
    const { events: passed } = await screenClaim(await snapshotOf(hoarder), claim(), events, start, noLarge);
    expect(passed).toMatchObject([{ type: "failed", error: { code: "guard_unavailable" } }]);
  });

  it("begin without what was held when the model starts again", async () => {
    const hooks = await snapshotOf(masker);
    const events = eventsOf(
      "a",
      { type: "output", chunk: "sec" },
      { type: "starting" },
      { type: "output", chunk: "ret" },
    );
    const { events: passed } = await screenClaim(hooks, claim(), events, start, noLarge);
    expect(chunksOf(passed)).toEqual(["", "ret"]);
  });
});

/** A shard that takes all it gets, in calls that the test can look at. */
function receiver(snapshot: Snapshot) {
  const calls: ScreenedEvent[][] = [];
  const screenings = createScreenings(() => Date.now());
  const send = (claims: Screened[], ...events: PoolEvent[]) =>
    deliverScreened(
      events,
      silent(events),
      { known: claims, late: [] },
      {
        ...{ snapshot, screenings, large: noLarge, behind: () => {}, withGuards: async (hooks) => hooks },
        async deliver(some) {
          calls.push(some);
          return { verdicts: claimsOf(some).map((one) => ({ ...one, verdict: "ok" as const })), cancel: [] };
        },
      },
    );
  return { calls, send };
}

describe("claims that come together", () => {
  it("don't wait for one whose guard is slow; late, it is answered `later`, and is done when it comes again", async () => {
    const slow = Promise.withResolvers<void>();
    let asked = 0;
    const hooks = await snapshotOf(
      judging(async ({ predictionId }) => {
        if (predictionId !== "slow") return proceed;
        asked += 1;
        await slow.promise;
        return proceed;
      }),
    );
    vi.useFakeTimers();
    const { calls, send } = receiver(hooks);
    const one = eventsOf("slow", { type: "output", chunk: "x" });
    const other = eventsOf("fast", { type: "output", chunk: "y" });
    const answer = send([claim("slow"), claim("fast")], ...one, ...other);
    await vi.advanceTimersByTimeAsync(10);
    expect(calls.map((events) => events.map(({ id }) => id))).toEqual([["fast"]]);
    await vi.advanceTimersByTimeAsync(990);
    expect((await answer).verdicts).toMatchObject([
      { id: "fast", verdict: "ok" },
      { id: "slow", verdict: "later" },
    ]);
    slow.resolve();
    const again = send([claim("slow")], ...one, ...eventsOf("slow", {}, { type: "output", chunk: "z" }).slice(1));
    await vi.advanceTimersByTimeAsync(10);
    expect((await again).verdicts).toMatchObject([{ id: "slow", verdict: "ok" }]);
    expect(calls.at(-1)).toMatchObject([
      { seq: 0, chunk: "x" },
      { seq: 1, chunk: "z" },
    ]);
    // The first chunk was not asked about again.
    expect(asked).toBe(2);
  });

  it("are stale when they are not the latest", async () => {
    const { calls, send } = receiver(await snapshotOf(masker));
    const { verdicts } = await send([], ...eventsOf("gone", { type: "output", chunk: "x" }));
    expect([verdicts, calls]).toEqual([[{ id: "gone", token: "token of gone", verdict: "stale" }], []]);
  });
});

it("leaves alone the claims of which a model said nothing", () => {
  const events = [
    ...eventsOf("a", { type: "starting" }),
    ...eventsOf("b", { type: "starting" }, { type: "log", text: "x" }),
  ];
  expect(silent(events).map(({ id }) => id)).toEqual(["a"]);
});
