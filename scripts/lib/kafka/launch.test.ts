/** `scripts/kafka-local` in a clone whose packages are missing, or half there. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../../..");
let clone = "";

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), "edgeplane-clone-"));
  cpSync(join(root, "scripts"), join(clone, "scripts"), { recursive: true });
  writeFileSync(join(clone, "package.json"), '{"type":"module"}');
});
afterEach(() => rmSync(clone, { recursive: true, force: true }));

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(join(clone, "scripts/kafka-local"), args, { encoding: "utf8" });
  return { status, stdout, stderr: stderr.trim().split("\n") };
}

const said = [expect.stringMatching(/^kafka-local: the packages are not there: run npm ci, or wait/)];

test("without packages it says so", () => {
  expect(run("status")).toMatchObject({ status: 2, stderr: said });
});

test("while npm ci fills an empty node_modules it says so", () => {
  mkdirSync(join(clone, "node_modules"));
  symlinkSync(join(root, "node_modules/zod"), join(clone, "node_modules/zod"));
  expect(run("status")).toMatchObject({ status: 2, stderr: said });
});

test("when a package goes after it has looked it says so", () => {
  mkdirSync(join(clone, "node_modules"));
  writeFileSync(join(clone, "node_modules/.package-lock.json"), "{}");
  expect(run("status")).toMatchObject({ status: 2, stderr: said });
});

test("with packages it runs, and says in one line what is wrong", () => {
  symlinkSync(join(root, "node_modules"), join(clone, "node_modules"));
  const dir = join(clone, "kafka");
  expect(run("status", "--dir", dir)).toMatchObject({ status: 1, stdout: `No cluster in ${dir}.\n` });
  expect(run("--what").stderr).toEqual([expect.stringContaining("--what")]);
  mkdirSync(dir);
  writeFileSync(join(dir, "cluster.json"), "{");
  expect(run("status", "--dir", dir)).toMatchObject({
    status: 1,
    stderr: [expect.stringMatching(/cluster\.json doesn't say what runs/)],
  });
});
