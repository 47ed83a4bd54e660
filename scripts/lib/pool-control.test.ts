/** The script that starts and stops a pool on its host, with programs in the place of Node. */
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

let home: string;
let script: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "edgeplane-control-"));
  script = join(home, "edgeplane-pool");
  copyFileSync(join(import.meta.dirname, "../../deploy/pool/edgeplane-pool"), script);
  writeFileSync(join(home, "pool.env"), "export EDGEPLANE_URL='http://127.0.0.1:9'\n");
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function putNode(lines: string): void {
  writeFileSync(join(home, "node"), `#!/bin/sh\n${lines}\n`);
  chmodSync(join(home, "node"), 0o755);
}

/** The code of a command that fails, and what it says; null when it does not fail. */
function failureOf(verb: string): string | null {
  try {
    execFileSync(script, [verb], { stdio: "pipe" });
    return null;
  } catch (error) {
    if (!(error instanceof Error && "status" in error && "stdout" in error && "stderr" in error)) throw error;
    return `${String(error.status)}: ${String(error.stdout)}${String(error.stderr)}`;
  }
}

test("a signal between two lives of the pool ends the script, and the pool is not started again", async () => {
  putNode("echo begun; exit 5");
  const running = spawn(script, ["run"], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  const ended = new Promise((resolve) => running.once("close", resolve));
  running.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    if (text.includes("starting it again")) running.kill("SIGTERM");
  });
  expect(await ended).toBe(0);
  expect(said.match(/begun/g)).toHaveLength(1);
});

test("a process that has the number of an earlier life's is left alone", async () => {
  const stranger = spawn("sleep", ["60"]);
  try {
    writeFileSync(join(home, "pool.pid"), String(stranger.pid));
    expect(failureOf("status")).toMatch(/^1: .*doesn't run/);
    expect(failureOf("stop")).toBeNull();
    expect(stranger.kill(0)).toBe(true);
    expect(stranger.signalCode).toBeNull();
  } finally {
    stranger.kill("SIGKILL");
    await new Promise((resolve) => stranger.once("close", resolve));
  }
});

test("an upgrade that gets no installer fails", () => {
  expect(failureOf("upgrade")).toMatch(/^1: [^]*no installer/);
});
