/** With a dpkg and an apt of the test's own, which keep what is installed in a file. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test, vi } from "vitest";
import { ensureSystemPackages } from "./system-packages.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-packages-"));
const installed = join(folder, "installed");
const calls = join(folder, "calls");
const lines: string[] = [];

function program(name: string, text: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${text}`);
  chmodSync(join(folder, name), 0o755);
}

program("dpkg-query", `while read -r name version; do echo "$name=$version installed"; done < ${installed}\n`);
program(
  "apt-get",
  `echo "$*" >> ${calls}
for word in "$@"; do
  case "$word" in
    --simulate) simulates=1 ;;
    update) echo "Get:1 http://deb.test Packages"; exit 0 ;;
    no-such*) echo "E: Unable to locate package $word"; exit 100 ;;
    virtual) ;;
    tool*) if grep -q "^tool " ${installed}; then :; elif [ -n "$simulates" ]; then echo "Inst tool (1.0)"; else echo "Setting up tool (1.0) ..."; echo "tool 1.0" >> ${installed}; fi ;;
  esac
done
`,
);

const may = {
  allowed: true,
  isRoot: true,
  lockDir: folder,
  timeoutMs: 10_000,
  log: (line: string) => void lines.push(line),
};

beforeEach(() => {
  vi.stubEnv("PATH", `${folder}:${process.env["PATH"]}`);
  writeFileSync(installed, "base 2.1\n");
  writeFileSync(calls, "");
  lines.length = 0;
});
afterEach(() => vi.unstubAllEnvs());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const installs = (): string[] =>
  readFileSync(calls, "utf8")
    .split("\n")
    .filter((call) => call.includes("--yes install"));

test("what is there, in that version, or given by another package, needs no permission", async () => {
  for (const names of [[], ["base"], ["base=2.1"], ["base", "virtual"]])
    expect(await ensureSystemPackages(names, { ...may, allowed: false })).toBeNull();
  expect(installs()).toEqual([]);
});

test.each([
  ["without permission", { allowed: false }, "run the pool as root with --allow-system-packages"],
  ["without root", { isRoot: false }, "run the pool as root."],
])("what is missing is refused %s, and the reason says how to mend it", async (_what, but, how) => {
  const refused = ensureSystemPackages(["base", "tool"], { ...may, ...but });
  await expect(refused).rejects.toThrow(
    "This host lacks system packages that cog.yaml wants: tool. Install them (apt-get install tool)",
  );
  await expect(refused).rejects.toThrow(how);
  expect(installs()).toEqual([]);
});

test("two models that want it at once install it once, and tell how that gets on", async () => {
  await Promise.all([ensureSystemPackages(["tool", "base"], may), ensureSystemPackages(["base", "tool"], may)]);
  expect(installs()).toEqual([expect.stringMatching(/--yes install (tool base|base tool)$/)]);
  expect(lines.filter((line) => !line.startsWith("another pool installs"))).toEqual([
    "installing system packages: tool",
    "Get:1 http://deb.test Packages",
    "Setting up tool (1.0) ...",
    "the system packages are installed",
  ]);
});

test("what apt says is in the error, and no option gets to it", async () => {
  await expect(ensureSystemPackages(["no-such-thing"], may)).rejects.toThrow(
    "The system packages can't be installed:\nE: Unable to locate package no-such-thing",
  );
  for (const name of ["-o Dir::Etc=/x", "--yes", "a b", "tool;id", "Tool"])
    await expect(ensureSystemPackages([name], may)).rejects.toThrow("which is no name of a Debian package");
});

test("where there is no dpkg the model runs, with a warning", async () => {
  vi.stubEnv("PATH", join(folder, "nothing"));
  expect(await ensureSystemPackages(["ffmpeg"], may)).toContain("can't be checked without dpkg and apt");
});
