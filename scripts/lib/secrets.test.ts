import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { loadSecrets, saveSecrets } from "./secrets.ts";
import { plainMessage, StackError } from "./stack-error.ts";

const dir = mkdtempSync(join(tmpdir(), "edgeplane-secrets-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("are made once, for the owner only, and kept", () => {
  const made = loadSecrets(dir);
  expect(loadSecrets(dir)).toEqual(made);
  saveSecrets(dir, { ...made, apiKey: "ep_x" });
  expect(loadSecrets(dir).apiKey).toBe("ep_x");
  expect(statSync(join(dir, "secrets.json")).mode & 0o777).toBe(0o600);
  expect(readdirSync(dir)).toEqual(["secrets.json"]);
});

test("that are damaged stop the start with one line", () => {
  for (const text of ["", "{", "{}"]) {
    writeFileSync(join(dir, "secrets.json"), text);
    expect(() => loadSecrets(dir)).toThrow(StackError);
  }
});

test("a full disk is told in one line, a fault of ours with its stack", () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  expect(plainMessage(full)).toMatch(/^the disk is full; .*\(ENOSPC.*\)\.$/);
  expect(plainMessage(new TypeError("oops"))).toContain("\n    at ");
});
