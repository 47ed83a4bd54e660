import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { tryLock } from "../runtime/host-lock.ts";
import { ModelFolders } from "./model-folders.ts";

const root = mkdtempSync(join(tmpdir(), "edgeplane-folders-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const VERSION = "0".repeat(64);

test("a pool that starts while another clears up its last life's folders keeps those of this one", async () => {
  const clearing = tryLock(join(root, "folders", "one.lock"), "exclusive");
  const making = new ModelFolders(root, "one").make(VERSION);
  await new ModelFolders(root, "two").make(VERSION);
  clearing?.release();
  const folder = await making;
  await new ModelFolders(root, "three").make(VERSION);
  expect(existsSync(folder)).toBe(true);
});

test("folders that are wanted at the same moment are all made, and one that is wanted as the pool ends leaves nothing", async () => {
  const own = join(root, "folders", "four");
  const clearing = tryLock(join(root, "folders", "four.lock"), "exclusive");
  const folders = new ModelFolders(root, "four");
  const made = Promise.allSettled([folders.make(VERSION), folders.make(VERSION)]);
  clearing?.release();
  expect((await made).map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
  const late = Promise.allSettled([folders.make(VERSION)]);
  await folders.close();
  await late;
  expect(existsSync(own)).toBe(false);
  await expect(folders.make(VERSION)).rejects.toThrow("this pool ends");
  const lock = tryLock(join(root, "folders", "four.lock"), "exclusive");
  expect(lock).not.toBeNull();
  lock?.release();
});
