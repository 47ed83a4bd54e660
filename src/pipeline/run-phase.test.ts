import { describe, expect, it, vi } from "vitest";
import type { Call, Verdict } from "../../plugins/kernel/phases.ts";
import type { BoundHook, Snapshot } from "../../plugins/kernel/snapshot.ts";
import { runPhase } from "./run-phase.ts";

const call: Call = { requestId: "r", method: "GET", path: "/", header: () => undefined, principal: null };
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

function snapshotOf(...hooks: (CallHook | Partial<BoundHook<"authenticate">>)[]): Snapshot {
  const bound = hooks.map((hook, index) => ({
    plugin: `p${index}`,
    failMode: "closed" as const,
    timeoutMs: 50,
    run: () => ({ verdict: "continue" as const }),
    ...(typeof hook === "function" ? { run: hook } : hook),
  }));
  return {
    version: 1,
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
