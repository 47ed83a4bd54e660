import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { removeFolder } from "./remove-folder.ts";

test("removes what is there, and throws at nothing that stands in its way", () => {
  const root = mkdtempSync(join(tmpdir(), "edgeplane-remove-"));
  mkdirSync(join(root, "folder", "inner"), { recursive: true });
  writeFileSync(join(root, "file"), "");
  removeFolder(join(root, "folder"));
  expect(existsSync(join(root, "folder"))).toBe(false);
  removeFolder(join(root, "folder"));
  expect(() => rmSync(join(root, "file", "below"), { recursive: true })).toThrow("ENOTDIR");
  removeFolder(join(root, "file", "below"));
  rmSync(root, { recursive: true });
});
