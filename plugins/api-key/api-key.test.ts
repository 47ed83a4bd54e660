import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { describePlugin } from "../kernel/conformance.ts";
import { newSecret, sha256Hex } from "../kernel/secret.ts";
import type { Principal } from "../kernel/phases.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import { apiKey } from "./api-key.ts";

const principal: Principal = {
  accountId: "acme",
  accountName: "acme",
  retentionMs: 60_000,
  weight: 1,
  credentialId: "k1",
  scopes: ["predictions:read"],
  maxPriority: "normal",
};
const key = newSecret("ep_");

async function open(
  look: (hash: string) => Promise<Principal | null>,
  settings = {},
  mayExist = async () => true,
  expiresAt: number | null = null,
) {
  const find = async (hash: string) => {
    const found = await look(hash);
    return found === null ? null : { principal: found, expiresAt };
  };
  const snapshot = await buildSnapshot(1, [apiKey], { "api-key": { config: settings } }, { keys: { mayExist, find } });
  const [hook] = snapshot.hooks.authenticate;
  return async (authorization?: string) =>
    hook?.run({
      requestId: "r",
      method: "GET",
      path: "/",
      clientIp: null,
      header: () => authorization,
      headers: () => (authorization === undefined ? {} : { authorization }),
      principal: null,
    });
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const stored = { keys: { mayExist: async () => true, find: async () => ({ principal, expiresAt: null }) } };
describePlugin(apiKey, { services: stored, badConfigs: [{ cacheMs: 10_001 }, { cachedKeys: 0 }] });

describe("the api-key plugin", () => {
  it.each(["Bearer", "bearer", "Token"])("knows a key behind `%s`, by its hash", async (scheme) => {
    const hash = await sha256Hex(key);
    const run = await open(async (asked) => (asked === hash ? principal : null));
    expect(await run(`${scheme} ${key}`)).toMatchObject({ verdict: "continue", subject: { principal } });
  });

  it("leaves other credentials, and none, to other plugins", async () => {
    const run = await open(async () => null);
    expect(await run()).toEqual({ verdict: "continue" });
    expect(await run("Bearer eyJhbGciOi")).toEqual({ verdict: "continue" });
    expect(await run("Basic ep_abc")).toEqual({ verdict: "continue" });
  });

  it("refuses a key that has the wrong form without asking the store", async () => {
    const find = vi.fn<() => Promise<null>>(async () => null);
    const run = await open(find);
    expect(await run("Bearer ep_short")).toMatchObject({ verdict: "reject", code: "unauthenticated" });
    expect(find).not.toHaveBeenCalled();
  });

  it("refuses a key that was never made without asking the store, and remembers nothing of it", async () => {
    const find = vi.fn<() => Promise<null>>(async () => null);
    const mayExist = vi.fn<() => Promise<boolean>>(async () => false);
    const run = await open(find, {}, mayExist);
    for (let count = 0; count < 3; count += 1)
      expect(await run(`Bearer ${key}`)).toMatchObject({ verdict: "reject", code: "unauthenticated" });
    expect([find.mock.calls.length, mayExist.mock.calls.length]).toEqual([0, 3]);
  });

  it("lets unknown keys drive out no valid one", async () => {
    const valid = await sha256Hex(key);
    const find = vi.fn<(hash: string) => Promise<Principal | null>>(async (hash) =>
      hash === valid ? principal : null,
    );
    const run = await open(find, { cachedKeys: 2, unknownCachedKeys: 2 });
    await run(`Bearer ${key}`);
    for (let count = 0; count < 10; count += 1) await run(`Bearer ${newSecret("ep_")}`);
    find.mockClear();
    expect(await run(`Bearer ${key}`)).toMatchObject({ verdict: "continue" });
    expect(find).not.toHaveBeenCalled();
  });

  it("goes by a key no longer than until it expires", async () => {
    const find = vi.fn<() => Promise<Principal | null>>(async () => principal);
    const run = await open(find, {}, async () => true, Date.now() + 3000);
    await run(`Bearer ${key}`);
    vi.advanceTimersByTime(2999);
    await run(`Bearer ${key}`);
    expect(find).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(1);
    find.mockResolvedValue(null);
    expect(await run(`Bearer ${key}`)).toMatchObject({ verdict: "reject", code: "unauthenticated" });
  });

  it("asks once in 10 seconds for a key that is known, once in 2 for one that isn't", async () => {
    let known: Principal | null = null;
    const find = vi.fn<() => Promise<Principal | null>>(async () => known);
    const run = await open(find);
    const verdict = async () => (await run(`Bearer ${key}`))?.verdict;
    expect([await verdict(), await verdict()]).toEqual(["reject", "reject"]);
    known = principal;
    vi.advanceTimersByTime(2001);
    expect([await verdict(), await verdict()]).toEqual(["continue", "continue"]);
    known = null;
    vi.advanceTimersByTime(9999);
    expect(await verdict()).toBe("continue");
    vi.advanceTimersByTime(2);
    expect(await verdict()).toBe("reject");
    expect(find).toHaveBeenCalledTimes(3);
  });
});
