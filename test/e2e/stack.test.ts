/** The local stack's own borders: its Host, its curl, and what the Worker may reach. */
import { execFileSync } from "node:child_process";
import { expect, inject, test } from "vitest";
import { curlFor } from "../../scripts/lib/welcome.ts";

const stack = inject("stack");

test("the curl that npm start prints works when pasted", () => {
  const answered: unknown = JSON.parse(execFileSync("bash", ["-c", curlFor(stack)], { encoding: "utf8" }));
  expect(answered).toMatchObject({ status: "succeeded", output: "hello edge" });
});

test("a page that points its own name at the stack is refused", () => {
  const answer = execFileSync("curl", ["-s", "-H", "Host: evil.example", `${stack.url}/healthz`], { encoding: "utf8" });
  expect(JSON.parse(answer)).toMatchObject({ status: 403, code: "forbidden" });
});

test("without a key nothing is told", async () => {
  const response = await fetch(`${stack.url}/v1/predictions`);
  expect(response.status).toBe(401);
});
