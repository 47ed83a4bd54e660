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
