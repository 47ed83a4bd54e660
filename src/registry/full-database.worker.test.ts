/** A database that takes no more rows: predictions end, pools connect and webhooks are signed all the same. */
import { expect, it } from "vitest";
import { admin, testEnv } from "../../test/worker/edge-harness.ts";
import { ManifestSchema } from "../contract/manifest.ts";
import { currentWebhookSecret, webhookSecrets } from "../webhooks/secrets.ts";
import { listDeadLetters, recordDeadLetters } from "./dead-letters.ts";
import type { NewDeadLetter } from "./dead-letters.ts";
import { registerDevices } from "./devices.ts";
import { registerManifests } from "./registration.ts";

const { DB } = testEnv;

/** D1, with every write refused. */
function refusing(message: string): D1Database {
  const refuse = async () => Promise.reject(new Error(message));
  return new Proxy(DB, {
    get(target, key) {
      if (key === "batch") return refuse;
      if (key !== "prepare") return Reflect.get(target, key) as unknown;
      return (query: string) =>
        /^\s*(INSERT|UPDATE)/.test(query) ? { bind: () => ({ run: refuse }) } : target.prepare(query);
    },
  });
}
const full = { ...testEnv, DB: refusing("D1_ERROR: Exceeded maximum DB size") };
const away = { ...testEnv, DB: refusing("D1_ERROR: Network connection lost") };

const letter = (id: string, accountId: string, endedAt: number): NewDeadLetter => ({
  ...{ id, accountId, model: "acme/m", version: "v", lane: "default", reason: "timed_out", attempt: 1, endedAt },
});
const manifest = ManifestSchema.parse({ owner: "acme", name: "full", version: "a".repeat(64) });

it("drops dead letters, so that ends are published; while D1 is away they wait", async () => {
  await expect(recordDeadLetters(full, [letter("a", "x", 1)])).resolves.toBeUndefined();
  await expect(recordDeadLetters(away, [letter("a", "x", 1)])).rejects.toThrow("connection lost");
});

it("lets pools connect with what is registered, and tells them what isn't", async () => {
  const registrar = { owners: ["acme"], lanes: ["default"] };
  expect(await registerManifests(full, registrar, [manifest])).toMatchObject([
    { reason: expect.stringContaining("full") as string },
  ]);
  await expect(registerManifests(away, registrar, [manifest])).rejects.toThrow("connection lost");
  await registerDevices(full, [{ id: "cpu", kind: "cpu", name: "CPU", memoryBytes: null }]);
});

it("signs the webhooks of an account whose secret it can't note", async () => {
  const account = String((await admin("/accounts", { name: "signing" }))["id"]);
  const secrets = await webhookSecrets(full, account);
  expect(secrets).toEqual([await currentWebhookSecret(testEnv, account)]);
});

it("keeps an account's newest dead letters, and takes none of another's room", async () => {
  const env = { ...testEnv, QUOTA_DEAD_LETTERS: "3" };
  const now = Date.now();
  await recordDeadLetters(env, [letter("other", "other", now - 100)]);
  const mine = ["a", "b", "c", "d", "e"].map((id, nth) => letter(id, "mine", now - 50 + nth));
  await recordDeadLetters(env, mine.slice(0, 4));
  await recordDeadLetters(env, mine.slice(3));
  const all = { model: null, lane: null, reason: null, from: null, to: null, open: false };
  const kept = await listDeadLetters(DB, all, null, 10);
  expect(kept.map(({ id }) => id)).toEqual(["e", "d", "c", "other"]);
});
