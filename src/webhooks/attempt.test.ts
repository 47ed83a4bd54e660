import { describe, expect, it, onTestFinished, vi } from "vitest";
import { RESPONSE_BYTES, SECRETS_TIMEOUT_MS, attempt } from "./attempt.ts";
import type { AttemptDeps } from "./attempt.ts";

const message = { webhookId: "msg_1", accountId: "a", url: "https://example.com/hook", body: "{}" };

function depsOf(
  answer: () => Promise<Response>,
  rest: Partial<AttemptDeps> = {},
): AttemptDeps & { calls: RequestInit[] } {
  const calls: RequestInit[] = [];
  return {
    calls,
    now: () => 1_800_000_000_000,
    fetch: (_url, init) => {
      calls.push(init);
      return answer();
    },
    secrets: () => Promise.resolve(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]),
    allowLoopback: false,
    timeoutMs: 1000,
    ...rest,
  };
}

describe("attempt", () => {
  it.each([
    [200, "delivered", false],
    [204, "delivered", false],
    [301, "failed", false],
    [400, "failed", false],
    [410, "gone", false],
    [429, "failed", false],
    [500, "failed", true],
    [503, "failed", true],
  ])("takes %i for %s", async (status, result, hostFailed) => {
    const deps = depsOf(() => Promise.resolve(new Response(null, { status })));
    expect(await attempt(message, deps)).toMatchObject({ status, result, hostFailed });
    expect(deps.calls[0]).toMatchObject({ method: "POST", redirect: "manual", body: "{}" });
  });

  it("keeps the beginning of the answer, whatever the size of its chunks", async () => {
    const chunk = new Uint8Array(RESPONSE_BYTES - 10).fill(120);
    const body = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(chunk) });
    const outcome = await attempt(
      message,
      depsOf(() => Promise.resolve(new Response(body))),
    );
    expect(outcome.response).toBe("x".repeat(RESPONSE_BYTES));
  });

  it("keeps the status when the body breaks off", async () => {
    const body = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error("reset")) });
    const outcome = await attempt(
      message,
      depsOf(() => Promise.resolve(new Response(body, { status: 500 }))),
    );
    expect(outcome).toMatchObject({ result: "failed", status: 500, response: "" });
  });

  it("sends nothing to a refused target, nor for an account that is gone", async () => {
    for (const [url, secrets] of [
      ["https://10.0.0.1/hook", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]],
      [message.url, []],
    ] as const) {
      const deps = depsOf(() => Promise.resolve(new Response()), { secrets: () => Promise.resolve([...secrets]) });
      expect(await attempt({ ...message, url }, deps)).toMatchObject({ result: "refused" });
      expect(deps.calls).toEqual([]);
    }
  });

  it("blames no receiver for a secret that can't be read", async () => {
    const deps = depsOf(() => Promise.resolve(new Response()), { secrets: () => Promise.reject(new Error("D1")) });
    expect(await attempt(message, deps)).toMatchObject({ result: "unsent", hostFailed: false });
  });

  it("waits seconds for a secret, and not for ever", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const deps = depsOf(() => Promise.resolve(new Response()), { secrets: () => new Promise(() => {}) });
    const outcome = attempt(message, deps);
    await vi.advanceTimersByTimeAsync(SECRETS_TIMEOUT_MS);
    expect(await outcome).toMatchObject({ result: "unsent", hostFailed: false });
    expect(deps.calls).toEqual([]);
  });

  it("tells a silent receiver from one that can't be reached, and gives nothing of the cause away", async () => {
    const unreachable = depsOf(() => Promise.reject(new Error("connect ECONNREFUSED 10.1.2.3:443")));
    expect((await attempt(message, unreachable)).error).toBe(
      "The receiver could not be reached (name, connection or TLS).",
    );
    const silent = depsOf(() => Promise.reject(new Error("unused")), {
      timeoutMs: 20,
      fetch: (_url, init) =>
        new Promise((_resolve, reject) => {
          init.signal?.addEventListener("abort", () => reject(new Error("aborted")));
        }),
    });
    expect((await attempt(message, silent)).error).toBe("No answer within 0.02 s.");
  });
});
