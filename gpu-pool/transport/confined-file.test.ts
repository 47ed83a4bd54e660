import { execFileSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { dropConfined, NotConfined, openConfined } from "./confined-file.ts";

let root = "";
let scratch = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "edgeplane-confined-"));
  scratch = join(root, "scratch");
  mkdirSync(join(scratch, "1-1"), { recursive: true });
  mkdirSync(join(root, "state"));
  writeFileSync(join(root, "state", "token"), "secret");
  writeFileSync(join(scratch, "1-1", "out.txt"), "out");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test("a file of the scratch folder is read and deleted", async () => {
  const path = join(scratch, "1-1", "out.txt");
  const handle = await openConfined(path, scratch);
  expect(await handle.readFile("utf8")).toBe("out");
  await handle.close();
  await dropConfined(path, scratch);
  expect(existsSync(path)).toBe(false);
  await dropConfined(path, scratch);
});

test("whatever leads elsewhere is neither read nor deleted", async () => {
  const secret = join(root, "state", "token");
  symlinkSync(secret, join(scratch, "link"));
  symlinkSync(join(root, "state"), join(scratch, "folder"));
  symlinkSync("/dev/zero", join(scratch, "1-1", "device"));
  execFileSync("mkfifo", [join(scratch, "pipe")]);
  const paths = [
    secret,
    `${scratch}/../state/token`,
    `${scratch}/folder/token`,
    join(scratch, "pipe"),
    "/dev/zero",
    scratch,
    "/proc/self/environ",
  ];
  for (const path of paths) await expect(openConfined(path, scratch), path).rejects.toThrow(NotConfined);
  await expect(openConfined(join(scratch, "link"), scratch)).rejects.toThrow("ELOOP");
  await expect(openConfined(join(scratch, "1-1", "device"), scratch)).rejects.toThrow("ELOOP");
  await expect(openConfined(join(scratch, "none"), scratch)).rejects.toThrow("ENOENT");
  for (const path of [...paths, join(scratch, "none", "none")]) await dropConfined(path, scratch);
  expect(existsSync(secret)).toBe(true);
});

test("a scratch folder that is reached by a link counts as itself", async () => {
  symlinkSync(scratch, join(root, "other"));
  linkSync(join(scratch, "1-1", "out.txt"), join(scratch, "copy"));
  await (await openConfined(join(root, "other", "copy"), join(root, "other"))).close();
});
