import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Env } from "../env.ts";
import { removeDataTraces, removeStrays, removeTraces } from "./traces.ts";

let asked = 0;
function hang(): Promise<never> {
  asked += 1;
  return new Promise(() => {});
}
const statement = { bind: () => statement, all: hang, run: hang, first: hang };
const env = {
  BLOBS: { list: hang, delete: hang, head: hang },
  DB: { prepare: () => statement, batch: hang },
  INDEX: { getByName: () => ({ remove: async () => {} }) },
} as unknown as Env;
const expired = { accountId: "account", createdAt: 0, webhook: null, responseKey: null };

beforeEach(() => {
  asked = 0;
  vi.useFakeTimers();
});
afterEach(() => void vi.useRealTimers());

it("puts off what hangs, and what comes behind it, and does the rest", async () => {
  const hanging = Array.from({ length: 6 }, (_, index) => ({ ...expired, id: `hangs ${index}`, hasBlobs: true }));
  const goes = { ...expired, accountId: "another", id: "goes", hasBlobs: false };
  // Two accounts' indexes leave room for two of the hanging ones.
  const removing = removeTraces(env, [...hanging, goes]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked).toBe(2);
  expect(await removing).toEqual(new Set(["goes"]));
});

it("waits for all strays together no longer than for one", async () => {
  const sweeping = removeStrays(env, [
    { id: "one", token: "token" },
    { id: "two", token: "token" },
  ]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await sweeping).toEqual(new Set());
  expect(asked).toBe(1);
});

it("refuses a client's removal that hangs, and still drops the webhooks that are under way", async () => {
  const dropped: string[] = [];
  const senders = { getByName: () => ({ forget: async (ids: string[]) => void dropped.push(...ids) }) };
  const one = { ...expired, id: "hangs", hasBlobs: true, webhook: "https://receiver.example/hook" };
  const hanging = { ...env, WEBHOOKS: senders } as unknown as Env;
  const reasons: string[] = [];
  void removeDataTraces(hanging, one).catch((thrown: unknown) => reasons.push(String(thrown)));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(reasons).toEqual([expect.stringContaining("10000 ms")]);
  expect(dropped).toEqual(["hangs"]);
});
