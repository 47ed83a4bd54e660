import { describe, expect, it, vi } from "vitest";
import { aCall, aPart } from "../../plugins/kernel/conformance.ts";
import { judge } from "../../plugins/kernel/phases.ts";
import type { Answer, Call, Hook, Judge, PredictionCall, Reservation, Verdict } from "../../plugins/kernel/phases.ts";
import type { BoundHook, Hooks } from "../../plugins/kernel/snapshot.ts";
import { judged } from "../../plugins/kernel/verdict-events.ts";
import type { VerdictEvent } from "../../plugins/kernel/verdict-events.ts";
import { newTrail, runPhase } from "./run-phase.ts";

const call: Call = {
  requestId: "r",
  method: "GET",
  path: "/",
  clientIp: null,
  header: () => undefined,
  headers: () => ({}),
  principal: null,
};
const principal = {
  accountId: "a",
  accountName: "a",
  retentionMs: 60_000,
  weight: 1,
  credentialId: "k",
  scopes: [],
  maxPriority: "normal",
} as const;

type CallHook = (subject: Readonly<Call>) => Verdict<Call> | Promise<Verdict<Call>>;

function snapshotOf(...hooks: (CallHook | Partial<BoundHook<"authenticate">>)[]): Hooks {
  const bound = hooks.map((hook, index) => ({
    plugin: `p${index}`,
    failMode: "closed" as const,
    timeoutMs: 50,
    shadow: false,
    mutates: true,
    run: () => ({ verdict: "continue" as const }),
    ...(typeof hook === "function" ? { run: hook } : hook),
  }));
  return {
    hooks: { authenticate: bound, admit: [], screenInput: [], route: [], screenOutput: [], onResult: [] },
  };
}

describe("running a phase", () => {
  it("hands a changed subject on, in order", async () => {
    const seen: (string | null)[] = [];
    const snapshot = snapshotOf(
      (subject) => ({ verdict: "continue", subject: { ...subject, principal } }),
      (subject) => {
        seen.push(subject.principal?.accountId ?? null);
        return { verdict: "continue" };
      },
    );
    expect((await runPhase(snapshot, "authenticate", call)).principal).toBe(principal);
    expect(seen).toEqual(["a"]);
  });

  it("stops at the first rejection, with its code and when to come back", async () => {
    const behind = vi.fn<CallHook>(() => ({ verdict: "continue" }));
    const snapshot = snapshotOf(
      () => ({ verdict: "reject", code: "rate_limited", message: "Slow down.", retryAfterMs: 2000 }),
      behind,
    );
    const refused = runPhase(snapshot, "authenticate", call);
    await expect(refused).rejects.toMatchObject({ code: "rate_limited", status: 429, options: { retryAfterMs: 2000 } });
    expect(behind).not.toHaveBeenCalled();
  });

  it("lets a shadow verdict through and records it", async () => {
    const logged = vi.spyOn(console, "log").mockImplementation(() => {});
    const snapshot = snapshotOf(() => ({ verdict: "shadow", code: "rejected_by_policy", message: "Would not pass." }));
    expect(await runPhase(snapshot, "authenticate", call)).toBe(call);
    expect(logged.mock.calls.join()).toContain("plugin_shadow");
    logged.mockRestore();
  });

  it.each([
    [
      "throws",
      () => {
        throw new Error("broken");
      },
    ],
    ["rejects", async () => Promise.reject(new Error("broken"))],
    ["never answers", async () => new Promise<Verdict<Call>>(() => {})],
  ] as [string, CallHook][])("blocks when a guard %s", async (_case, run) => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    await expect(runPhase(snapshotOf(run), "authenticate", call)).rejects.toMatchObject({
      code: "guard_unavailable",
      status: 503,
    });
    const open = snapshotOf({ run, failMode: "open" });
    expect(await runPhase(open, "authenticate", call)).toBe(call);
    logged.mockRestore();
  });
});

type AdmitHook = Hook<"admit"> | Judge<"admit">;

function admitting(...hooks: (AdmitHook | { hook: AdmitHook; shadow?: boolean; timeoutMs?: number })[]) {
  const bound = hooks.map((given, index) => {
    const { hook, ...options } = "hook" in given ? given : { hook: given };
    const only = "judge" in hook ? hook.judge : null;
    const run: Hook<"admit"> = only ?? (hook as Hook<"admit">);
    return {
      plugin: `p${index}`,
      failMode: "closed",
      timeoutMs: 1000,
      shadow: false,
      mutates: only === null,
      run,
      ...options,
    };
  }) as BoundHook<"admit">[];
  return { hooks: { authenticate: [], admit: bound, screenInput: [], route: [], screenOutput: [], onResult: [] } };
}

const refusal = { verdict: "reject", code: "rejected_by_policy", message: "No." } as const;
const reservation = (id: string): Reservation => ({ service: "allowance", id, data: null });

describe("hooks that only judge", () => {
  it("run side by side, and see what those before them changed", async () => {
    const seen: [string, PredictionCall["input"]][] = [];
    const both = Promise.withResolvers<void>();
    const meet = (name: string) =>
      judge<"admit">(async ({ input }) => {
        seen.push([name, input]);
        if (seen.length === 2) both.resolve();
        // Each waits for the other one: in turn, the first would run out of time.
        await both.promise;
        return { verdict: "continue" };
      });
    const change: Hook<"admit"> = (call) => ({ verdict: "continue", subject: { ...call, input: { a: 2 } } });
    const after = await runPhase(admitting(change, meet("x"), meet("y")), "admit", aCall({ a: 1 }));
    expect(seen).toEqual([
      ["x", { a: 2 }],
      ["y", { a: 2 }],
    ]);
    expect(after.input).toEqual({ a: 2 });
  });

  it("change nothing, whatever they return", async () => {
    const rogue = judge<"admit">((call) => ({ verdict: "continue", subject: { ...call, input: {} } }) as never);
    const call = aCall({ a: 1 });
    expect(await runPhase(admitting(rogue), "admit", call)).toBe(call);
  });

  it("refuse in their order, whoever is the fastest", async () => {
    const first = Promise.withResolvers<void>();
    const slow = judge<"admit">(async () => {
      await first.promise;
      return { ...refusal, message: "the first" };
    });
    const fast = judge<"admit">(() => {
      first.resolve();
      return { ...refusal, message: "the second" };
    });
    await expect(runPhase(admitting(slow, fast), "admit", aCall())).rejects.toThrow("the first");
  });
});

describe("what a phase leaves behind", () => {
  it("keeps reservations and findings, also of hooks before the one that refuses", async () => {
    const trail = newTrail();
    const reserve = judge<"admit">(() => ({
      verdict: "continue",
      reservation: reservation("r1"),
      headers: { "x-a": "1" },
    }));
    const find = judge<"admit">(() => ({ ...refusal, findings: [{ category: "pii", rule: "card" }] }));
    await expect(runPhase(admitting(reserve, find), "admit", aCall(), trail)).rejects.toThrow("No.");
    expect(trail).toEqual({
      reservations: [{ ...reservation("r1"), plugin: "p0" }],
      headers: { "x-a": "1" },
      verdicts: [
        { plugin: "p1", phase: "admit", action: "reject", code: "rejected_by_policy", category: "pii", rule: "card" },
      ],
    });
  });

  it("gives back what was reserved too late, or beside a refusal", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const late: string[] = [];
    const outlived: Promise<unknown>[] = [];
    const trail = {
      ...newTrail(),
      onLate: ({ id }: { id: string }) => void late.push(id),
      outlive: (hook: Promise<unknown>) => void outlived.push(hook),
    };
    const behind = Promise.withResolvers<void>();
    const slow = judge<"admit">(async () => {
      await behind.promise;
      return { verdict: "continue", reservation: reservation("timed out") };
    });
    const beside = judge<"admit">(async () => {
      await behind.promise;
      return { verdict: "continue", reservation: reservation("beside") };
    });
    const run = runPhase(admitting({ hook: slow, timeoutMs: 5 }, beside), "admit", aCall(), trail);
    await expect(run).rejects.toMatchObject({ code: "guard_unavailable" });
    expect(trail.reservations).toEqual([]);
    behind.resolve();
    // Whoever waits for the hooks sees both given back: nothing else keeps a request that was answered.
    await Promise.all(outlived);
    await Promise.resolve();
    expect(late.toSorted()).toEqual(["beside", "timed out"]);
  });

  it("lets all through a plugin in shadow, unchanged, and records it", async () => {
    vi.spyOn(console, "log").mockImplementation(() => {});
    vi.spyOn(console, "error").mockImplementation(() => {});
    const trail = newTrail();
    const change: Hook<"admit"> = (call) => ({
      verdict: "continue",
      subject: { ...call, input: {} },
      findings: [{ category: "words", rule: "w1" }],
    });
    const broken: Hook<"admit"> = () => {
      throw new Error("broken");
    };
    const call = aCall({ text: "a" });
    const hooks = [change, () => refusal, broken].map((hook) => ({ hook, shadow: true }));
    expect(await runPhase(admitting(...hooks), "admit", call, trail)).toBe(call);
    expect(trail.verdicts.map(({ action, code, rule }) => [action, code, rule])).toEqual([
      ["shadow", null, "w1"],
      ["shadow", "rejected_by_policy", null],
      ["broken", "guard_unavailable", null],
    ]);
  });

  it("takes an answer that is no verdict for a plugin that could not decide", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const nonsense = (() => undefined) as unknown as Hook<"admit">;
    await expect(runPhase(admitting(nonsense), "admit", aCall())).rejects.toMatchObject({ code: "guard_unavailable" });
  });
});

describe("a plugin that answers", () => {
  const answer = { output: "known", yielded: false };
  const findings = [{ category: "cache", rule: "hit" }];
  const answering = (more: Partial<BoundHook<"route">> = {}): BoundHook<"route"> => ({
    ...{ plugin: "knows", failMode: "closed", timeoutMs: 50, shadow: false, mutates: true, answers: true },
    ...{ run: () => ({ verdict: "answer", answer, findings }), ...more },
  });
  const behind = vi.fn<Hook<"route">>(() => ({ verdict: "continue" }));
  const route = async (hook: BoundHook<"route">, isTaken = true) => {
    behind.mockClear();
    const last: BoundHook<"route"> = { ...answering(), plugin: "behind", answers: false, run: behind };
    const phases = {
      authenticate: [],
      admit: [],
      screenInput: [],
      route: [hook, last],
      screenOutput: [],
      onResult: [],
    };
    const given: Answer[] = [];
    const trail = {
      ...newTrail(),
      onAnswer: async (one: Answer) => {
        given.push(one);
        return isTaken;
      },
    };
    await runPhase({ hooks: phases }, "route", aCall(), trail);
    return {
      given,
      verdicts: trail.verdicts.map(({ action, rule }) => [action, rule]),
      asked: behind.mock.calls.length,
    };
  };

  it("ends the phase, unless what it answers isn't taken", async () => {
    expect(await route(answering())).toEqual({ given: [answer], verdicts: [["note", "hit"]], asked: 0 });
    expect(await route(answering(), false)).toMatchObject({ given: [answer], asked: 1 });
  });

  it("answers nothing in shadow, or without having declared it", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    expect(await route(answering({ shadow: true }))).toEqual({ given: [], verdicts: [["shadow", "hit"]], asked: 1 });
    await expect(route(answering({ answers: false }))).rejects.toMatchObject({ code: "guard_unavailable" });
  });
});

describe("plugins that observe", () => {
  const tell = (event: VerdictEvent): unknown[] => [event.plugin, event.action, event.code, event.findings.length];
  const change: Hook<"admit"> = (call) => ({ verdict: "continue", subject: { ...call, input: { a: 2 } } });
  const find: Hook<"admit"> = () => ({ verdict: "continue", findings: [{ category: "c", rule: "r" }] });
  const broken: Hook<"admit"> = () => {
    throw new Error("broken");
  };

  async function observe(hooks: Parameters<typeof admitting>, phase: "admit" | "screenInput" = "admit") {
    const events: VerdictEvent[] = [];
    const { admit } = admitting(...hooks).hooks;
    const phases = { authenticate: [], admit: [], screenInput: [], route: [], screenOutput: [], onResult: [] };
    const onVerdict = (event: VerdictEvent) => void events.push(event);
    const faulty = () => {
      throw new Error("an observer breaks");
    };
    const observers = [
      { plugin: "faulty", onVerdict: faulty },
      { plugin: "log", onVerdict },
    ];
    const all: Hooks = { hooks: { ...phases, [phase]: admit }, version: 7, observers };
    const done = await runPhase(all, phase, aCall()).catch((error: unknown) => error);
    return { events, done };
  }

  it("are told of what was found, changed, refused and broken, by whom and of whom, whatever one of them does", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    vi.spyOn(console, "log").mockImplementation(() => {});
    const hooks = [
      find,
      { hook: broken, failMode: "open" as const },
      { hook: () => refusal, shadow: true },
      () => refusal,
    ];
    const { events, done } = await observe(hooks);
    expect(done).toMatchObject({ code: "rejected_by_policy" });
    expect(events.map(tell)).toEqual([
      ["p0", "note", null, 1],
      ["p1", "broken", "guard_unavailable", 0],
      ["p2", "shadow", "rejected_by_policy", 0],
      ["p3", "reject", "rejected_by_policy", 0],
    ]);
    const { requestId, predictionId, principal: caller, model } = aCall();
    const { accountId, credentialId } = caller;
    expect(events[0]).toMatchObject({ settings: 7, requestId, predictionId, accountId, credentialId, model });
    expect(new Set(events.map(({ id }) => id)).size).toBe(4);
    expect(JSON.stringify(events)).not.toContain("hello");
  });

  it("are told of every change of an input, and not of what else is handed on", async () => {
    expect((await observe([change], "screenInput")).events.map(tell)).toEqual([["p0", "change", null, 0]]);
    expect((await observe([change])).events).toEqual([]);
  });

  it("know of a call who it is, once that is known, and of an output whose it is", () => {
    const unknown = { requestId: "r", predictionId: null, accountId: null, credentialId: null, model: null };
    expect(judged(call)).toEqual(unknown);
    expect(judged({ ...call, principal })).toEqual({ ...unknown, accountId: "a", credentialId: "k" });
    const { predictionId, model } = aCall();
    expect(judged(aPart())).toEqual({ ...unknown, requestId: null, predictionId, accountId: "account-1", model });
  });
});
