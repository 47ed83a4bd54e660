/** The local stack's own borders: its Host, its curl, and what the Worker may reach. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, inject, test } from "vitest";
import { curlFor } from "../../scripts/lib/welcome.ts";

const stack = inject("stack");

test("the curl that npm start prints works when pasted", () => {
  const answered: unknown = JSON.parse(execFileSync("bash", ["-c", curlFor(stack)], { encoding: "utf8" }));
  expect(answered).toMatchObject({ status: "succeeded", output: "hello edge" });
});

test("the README's curl works when pasted", () => {
  const readme = readFileSync(join(import.meta.dirname, "../../README.md"), "utf8");
  const block = [...readme.matchAll(/```sh\n(.*?)```/gs)]
    .map((match) => match[1] ?? "")
    .find((text) => text.includes("curl"));
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-readme-"));
  try {
    mkdirSync(join(dir, ".edgeplane"));
    writeFileSync(join(dir, ".edgeplane/dev.json"), JSON.stringify({ apiKey: stack.apiKey }));
    const command = (block ?? "").replace("http://127.0.0.1:8787", stack.url);
    const answered: unknown = JSON.parse(execFileSync("bash", ["-c", command], { cwd: dir, encoding: "utf8" }));
    expect(answered).toMatchObject({ status: "succeeded", output: "hello edge" });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("a page that points its own name at the stack is refused", () => {
  const answer = execFileSync("curl", ["-s", "-H", "Host: evil.example", `${stack.url}/healthz`], { encoding: "utf8" });
  expect(JSON.parse(answer)).toMatchObject({ status: 403, code: "forbidden" });
});

test("without a key nothing is told", async () => {
  const response = await fetch(`${stack.url}/v1/predictions`);
  expect(response.status).toBe(401);
});
