/** The guard of docs/plugins.md as its reader runs it: examples/profanity-guard with its packages of PyPI. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import * as z from "zod";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";

const page = fileURLToPath(new URL("../../docs/plugins.md", import.meta.url));
const AnswerSchema = z.looseObject({ status: z.union([z.string(), z.number()]), code: z.string().optional() });

const dir = mkdtempSync(join(tmpdir(), "edgeplane-profanity-"));
let stack: Stack;

beforeAll(async () => {
  stack = await startStack({
    stateDir: join(dir, "state"),
    offline: true,
    poolEnv: { EDGEPLANE_ENABLE: "profanity-guard" },
  });
  await stack.models.offered;
}, 120_000);

afterAll(async () => {
  await stack?.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

async function post(path: string, key: string, body: string) {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json", prefer: "wait=60" };
  const response = await fetch(`${stack.url}${path}`, { method: "POST", headers, body });
  return { status: response.status, body: await response.json() };
}

const predict = async (model: string, text: string) => {
  const answer = await post(`/v1/models/local/${model}/predictions`, stack.apiKey, JSON.stringify({ input: { text } }));
  return AnswerSchema.parse(answer.body);
};

/** What the page posts to publish it. */
function publication(): string {
  const [, section = ""] = readFileSync(page, "utf8").split("## Let a model of yours decide");
  const [, body = ""] = /admin\/v1\/settings .* -d '(\{[^']*\})'/.exec(section) ?? [];
  return body;
}

it("refuses profane texts, and no others", { timeout: 300_000 }, async () => {
  // Its packages are installed first.
  await expect
    .poll(async () => (await predict("profanity-guard", "Have a nice day.")).status, { timeout: 240_000 })
    .toBe("succeeded");
  expect((await post("/admin/v1/settings", stack.adminKey, publication())).status).toBe(201);
  await expect.poll(async () => (await predict("hello-world", "you fucking idiot")).code).toBe("rejected_by_policy");
  expect((await predict("hello-world", "Ada")).status).toBe("succeeded");
});
