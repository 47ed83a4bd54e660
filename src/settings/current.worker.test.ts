/** What an isolate does when other settings are published. */
import { expect, it, vi } from "vitest";
import { callJson, newKey, testEnv } from "../../test/worker/edge-harness.ts";
import type { Env } from "../env.ts";
import type { NumberedSettings } from "./schema.ts";
import type { Refresh } from "./settings-object.ts";

const operator = testEnv.ADMIN_KEY ?? "";
const terms = Array.from({ length: 3000 }, (_, nth) => `term${nth}`);
const lists = (action: string) => ({ lists: [{ name: "many", action, terms }] });

it("sets no plugin up again, and reads no list again, unless its own settings changed", async () => {
  const read: string[] = [];
  const get = async (key: string) => {
    read.push(key);
    return testEnv.BLOBS.get(key);
  };
  const put = async (key: string, value: Uint8Array) => testEnv.BLOBS.put(key, value);
  const getByName = () => testEnv.SETTINGS.getByName("kept instances");
  const env = {
    SETTINGS: { getByName } as unknown as Env["SETTINGS"],
    BLOBS: { get, put } as unknown as Env["BLOBS"],
  };
  const key = await newKey("kept-instances");
  let ahead = 0;
  const real = Date.now.bind(Date);
  vi.spyOn(Date, "now").mockImplementation(() => real() + ahead);
  /** How often the list is read by the isolate once these hold. */
  const reads = async (plugins: object): Promise<number> => {
    const body = { settings: { plugins: { "api-key": {}, ...plugins } }, why: "a test" };
    expect((await callJson("/admin/v1/settings", { key: operator, env, body })).status).toBe(201);
    read.length = 0;
    // The list that was read to see whether it can be is remembered for ten minutes.
    ahead += 700_000;
    expect((await callJson("/v1/account", { key, env })).status).toBe(200);
    return read.filter((name) => name.startsWith("artifacts/")).length;
  };
  const guarded = { "content-safety": { config: lists("block") } };
  expect(await reads(guarded)).toBe(1);
  expect(await reads({ ...guarded, "prompt-guard": { config: { maxCharacters: 9 } } })).toBe(0);
  expect(await reads({ "content-safety": { shadow: true, config: lists("block") } })).toBe(0);
  expect(await reads({ "content-safety": { config: { lists: [{ name: "few", terms: [...terms, "one"] }] } } })).toBe(1);
  vi.restoreAllMocks();
});

it("is told the settings when it is of a version that counts no audit events", async () => {
  const stub: unknown = testEnv.SETTINGS.getByName("older isolates");
  const older = stub as { refresh(refresh: Refresh, verdicts: []): Promise<NumberedSettings | null> };
  expect(await older.refresh({ number: null, staleServed: 0 }, [])).toMatchObject({ number: 0 });
});
