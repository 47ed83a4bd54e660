/**
 * What every plugin must do, built in or uploaded: its own test calls `describePlugin`.
 *
 *     describePlugin(wordList, {
 *       badConfigs: [{ words: "many" }],
 *       subjects: { screenInput: [aCall({ prompt: "some text" })] },
 *     });
 */
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { errorTable } from "../../src/contract/errors.ts";
import type { Json } from "../../src/contract/prediction.ts";
import { PLUGIN_API_VERSION } from "./define-plugin.ts";
import type { Plugin } from "./define-plugin.ts";
import { phases } from "./phases.ts";
import type { Call, Ending, OutputPart, Phase, PhaseSubject, PredictionCall, Principal } from "./phases.ts";
import { reservationServiceNames } from "./reservations.ts";
import { serviceNames } from "./services.ts";
import type { Services } from "./services.ts";
import { buildSnapshot } from "./snapshot.ts";
import type { Snapshot } from "./snapshot.ts";
import type { VerdictEvent } from "./verdict-events.ts";

export type Conformance = {
  /** What the plugin's `needs` name, in memory. */
  services?: Partial<Services>;
  /** The plugins that it requires. */
  with?: readonly Plugin[];
  /** In place of the plugin's `example`. */
  config?: unknown;
  /** Settings that it must refuse; that it is no object, and that it has a field nobody knows, is tried in any case. */
  badConfigs?: readonly unknown[];
  /** What its hooks are tried with, besides the ones here. */
  subjects?: { [P in Phase]?: readonly PhaseSubject[P][] };
};

const FindingSchema = z.strictObject({ category: z.string().min(1).max(100), rule: z.string().min(1).max(100) });
const findings = z.array(FindingSchema).optional();
const headers = z.record(z.string().regex(/^[a-z0-9-]+$/i), z.string().max(1000)).optional();
const ReservationSchema = z.strictObject({
  service: z.enum(reservationServiceNames),
  id: z.string().min(1).max(200),
  data: z.custom<Json>((data) => JSON.stringify(data).length <= 2000, "at most 2,000 characters as JSON"),
  untilAccepted: z.boolean().optional(),
});
const RefusalSchema = z.strictObject({
  verdict: z.enum(["reject", "shadow"]),
  code: z.string().refine((code) => Object.hasOwn(errorTable, code), "not in the table of errors"),
  message: z.string().min(1).max(500),
  retryAfterMs: z.number().min(0).optional(),
  findings,
  headers,
});

const AnswerSchema = z.strictObject({
  verdict: z.literal("answer"),
  answer: z.strictObject({ output: z.json(), yielded: z.boolean(), key: z.string().optional() }),
  findings,
});

export function verdictSchema(phase: Phase, mutates: boolean, answers = false): z.ZodType {
  const goOn = z.strictObject({
    verdict: z.literal("continue"),
    findings,
    headers,
    ...(mutates ? { subject: z.looseObject({}).optional() } : {}),
    ...(phase === "admit" || phase === "route" ? { reservation: ReservationSchema.optional() } : {}),
    ...(phase === "screenOutput" ? { held: z.string().nullable().optional() } : {}),
  });
  return z.union(answers ? [goOn, RefusalSchema, AnswerSchema] : [goOn, RefusalSchema]);
}

/** Registers the tests. */
export function describePlugin(plugin: Plugin, options: Conformance = {}): void {
  const config = options.config ?? plugin.example;
  const build = (own: unknown): Promise<Snapshot> => {
    const others = options.with ?? [];
    const settings = Object.fromEntries(others.map((other) => [other.name, { config: other.example }]));
    return buildSnapshot(
      1,
      [plugin, ...others],
      { ...settings, [plugin.name]: { config: own } },
      options.services ?? {},
    );
  };

  describe(`${plugin.name} as a plugin`, () => {
    it("declares what the kernel takes", () => {
      expect(plugin.name).toMatch(/^[a-z0-9][a-z0-9-]{0,62}$/);
      expect(plugin.apiVersion).toBe(PLUGIN_API_VERSION);
      expect(plugin.phases.length > 0 || plugin.observes).toBe(true);
      for (const phase of plugin.phases) expect(phases).toContain(phase);
      for (const need of plugin.needs) expect(serviceNames).toContain(need);
      expect(plugin.timeoutMs).toBeGreaterThan(0);
      expect(() => z.toJSONSchema(plugin.config, { io: "input" })).not.toThrow();
    });

    it("can be set up, twice, and given up", async () => {
      for (let count = 0; count < 2; count += 1) {
        const snapshot = await build(config);
        for (const phase of plugin.phases) expect(namesIn(snapshot, phase)).toContain(plugin.name);
        await snapshot.dispose();
      }
    });

    if (plugin.observes) {
      it("is told of verdicts, and takes no time for it", async () => {
        const snapshot = await build(config);
        const own = snapshot.observers?.find((one) => one.plugin === plugin.name);
        expect(own?.onVerdict(frozen(aVerdict()))).toBeUndefined();
        await snapshot.dispose();
      });
    }

    const bad = [null, "text", 7, { "no-such-setting": 1 }, ...(options.badConfigs ?? [])];
    it.each(bad.map((one) => [JSON.stringify(one), one]))("refuses the settings %s", async (_text, one) => {
      await expect(build(one)).rejects.toMatchObject({ code: "plugin_invalid" });
    });

    describe.each([...plugin.phases])("%s", (phase) => {
      const subjects = [...(commonSubjects[phase]() as Subject[]), ...((options.subjects?.[phase] ?? []) as Subject[])];
      it.each(subjects.map((subject, index) => [index, subject]))(
        "decides in time over subject %i, and leaves it as it was",
        async (_index, subject) => {
          const decide = async (): Promise<boolean> => {
            const snapshot = await build(config);
            const hook = snapshot.hooks[phase].find((one) => one.plugin === plugin.name);
            if (hook === undefined) throw new Error("there is no hook");
            const run = hook.run as (subject: Subject) => unknown;
            const startedAt = performance.now();
            const verdict = await run(frozen(subject));
            const isInTime = performance.now() - startedAt < hook.timeoutMs;
            const schema = verdictSchema(phase, hook.mutates, hook.answers);
            expect(schema.safeParse(verdict)).toMatchObject({ success: true });
            await snapshot.dispose();
            return isInTime;
          };
          // A machine that stands still makes one of them late, and not the next one, too.
          expect((await decide()) || (await decide())).toBe(true);
        },
      );
    });
  });
}

type Subject = PhaseSubject[Phase];

const principal: Principal = {
  accountId: "account-1",
  accountName: "acme",
  retentionMs: 86_400_000,
  weight: 1,
  credentialId: "key-1",
  scopes: ["predictions:read", "predictions:write"],
  maxPriority: "normal",
};

/** A prediction's call with this input. */
export function aCall(input: { [key: string]: Json } = { text: "hello" }): PredictionCall {
  return {
    requestId: "request-1",
    predictionId: "00000000000000000000000000",
    principal,
    clientIp: "192.0.2.1",
    model: { owner: "acme", name: "echo", version: "0".repeat(64) },
    lane: "default",
    priority: "normal",
    cost: 1,
    input,
    inputBytes: new TextEncoder().encode(JSON.stringify(input)).byteLength,
    startTimeoutMs: 60_000,
    totalTimeoutMs: 120_000,
    deterministic: true,
  };
}

/** A verdict, as observers are told of it. */
export function aVerdict(event: Partial<VerdictEvent> = {}): VerdictEvent {
  const { requestId, predictionId, model } = aCall();
  const { accountId, credentialId } = principal;
  return {
    ...{
      id: crypto.randomUUID(),
      at: 1_700_000_000_000,
      settings: 1,
      requestId,
      predictionId,
      accountId,
      credentialId,
    },
    ...{ model, plugin: "a-guard", phase: "screenInput", action: "reject", code: "rejected_by_policy" },
    findings: [{ category: "words", rule: "house-rules" }],
    ...event,
  };
}

/** A piece of output. */
export function aPart(part: Partial<OutputPart> = {}): OutputPart {
  const { predictionId, model } = aCall();
  return {
    predictionId,
    accountId: principal.accountId,
    model,
    of: "output",
    part: "whole",
    output: "",
    held: null,
    ...part,
  };
}

function anHttpCall(authorization: string | undefined): Call {
  const header = (name: string) => (name === "authorization" ? authorization : undefined);
  const headers = (): Record<string, string> => (authorization === undefined ? {} : { authorization });
  const path = "/v1/predictions";
  return { requestId: "request-1", method: "GET", path, clientIp: null, header, headers, principal: null };
}

const inputs: { [key: string]: Json }[] = [
  {},
  { text: "" },
  { text: "hello", number: 1e308, flag: true, nothing: null },
  {
    messages: [
      { role: "user", content: [{ type: "text", text: "a" }] },
      { role: "system", content: "b" },
    ],
  },
  { text: "a".repeat(200_000), "": { deep: [[[["x"]]]] } },
  { text: "\ud800 lone, \u0000 zero, 中文 🙂" },
  JSON.parse('{"__proto__":{"admin":true},"constructor":"x"}') as { [key: string]: Json },
];

const endings: Partial<Ending>[] = [
  { outcome: "succeeded", errorCode: null, metrics: { predict_time: 1.5 } },
  { outcome: "failed", errorCode: "model_error", metrics: {} },
];

/** What the hooks of every plugin are tried with. */
const commonSubjects: { [P in Phase]: () => PhaseSubject[P][] } = {
  authenticate: () => [undefined, "", "Bearer", "Bearer x", "Basic YTpi", `Bearer ${"a".repeat(9000)}`].map(anHttpCall),
  admit: () => inputs.map(aCall),
  screenInput: () => inputs.map(aCall),
  route: () => inputs.map(aCall),
  screenOutput: () => [
    ...inputs.flatMap((input) => [aPart({ output: input }), aPart({ part: "chunk", output: input })]),
    ...["", "a", "\ud800", "x".repeat(200_000)].flatMap((output) => [
      aPart({ part: "chunk", output }),
      aPart({ part: "chunk", output, of: "logs" }),
      aPart({ output, of: "error" }),
      aPart({ part: "end", output }),
    ]),
    aPart({ part: "end", output: null }),
    aPart({ part: "end", output: null, of: "logs" }),
    aPart({ part: "chunk", output: "a", held: "not a state of its own" }),
    aPart({ part: "chunk", output: 7 }),
  ],
  onResult: () =>
    endings.map((ending) => {
      const { predictionId, model } = aCall();
      const { accountId } = principal;
      return { predictionId, accountId, model, outcome: "failed", errorCode: null, metrics: {}, ...ending };
    }),
};

function namesIn(snapshot: Snapshot, phase: Phase): string[] {
  return snapshot.hooks[phase].map((hook) => hook.plugin);
}

/** A copy that throws at a change, all the way down. */
export function frozen<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  const copy: unknown = Array.isArray(value)
    ? value.map((inner: unknown) => frozen(inner))
    : Object.defineProperties(
        {},
        Object.fromEntries(
          Object.entries(value).map(([key, inner]: [string, unknown]) => [
            key,
            { value: frozen(inner), enumerable: true },
          ]),
        ),
      );
  return Object.freeze(copy) as T;
}
