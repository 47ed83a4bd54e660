/**
 * PyPI's `replicate`, unmodified; its tests are written in its own language (pypi_replicate.py). Needs it:
 * scripts/ci/requirements.txt.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startClientStack } from "./stack.ts";
import type { ClientStack } from "./stack.ts";

let stack: ClientStack;
beforeAll(async () => {
  stack = await startClientStack();
});
afterAll(async () => stack?.stop());

/** Runs classes of the suite; rejects with what unittest printed when one of their tests fails. */
async function run(...classes: string[]): Promise<string> {
  const env = {
    ...process.env,
    EDGEPLANE_URL: stack.url,
    EDGEPLANE_API_KEY: stack.apiKey,
    SSL_CERT_FILE: stack.certificate,
  };
  const suite = join(import.meta.dirname, "pypi_replicate.py");
  const { stderr } = await promisify(execFile)("python3", ["-W", "ignore", suite, ...classes], {
    env,
    timeout: 110_000,
  });
  return stderr;
}

test("runs, streams, moves files, and manages models and deployments", async () => {
  expect(await run("Run", "Files", "Stream", "Resources")).toMatch(/Ran 20 tests in /);
});

test("sees a prediction that was aborted as failed", async () => {
  await stack.stopPool();
  expect(await run("WithoutPool")).toMatch(/Ran 1 test in /);
});
