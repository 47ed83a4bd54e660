/**
 * A plugin from its folder to the predictions that it guards, as its author and the operator go: push, publish, see it
 * work, change it, have it hang, take it out again.
 */
import { join } from "node:path";
import { afterAll, expect, inject, test } from "vitest";
import * as z from "zod";
import { readPlugin } from "../../scripts/lib/plugin-command/folder.ts";
import { pushPlugin } from "../../scripts/lib/plugin-command/push.ts";
import { hashOf, ManifestSchema } from "../../src/sandbox/manifest.ts";
import type { Upload } from "../../src/sandbox/manifest.ts";

const stack = inject("stack");
const examples = join(import.meta.dirname, "../../plugins/author/examples");

const AnswerSchema = z.looseObject({
  status: z.union([z.string(), z.number()]).optional(),
  code: z.string().optional(),
});

async function call(path: string, key: string, method: string, body?: unknown) {
  const answer = await fetch(`${stack.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", prefer: "wait" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: AnswerSchema.parse(text === "" ? {} : JSON.parse(text)) };
}
const admin = (method: string, path: string, body?: unknown) => call(`/admin/v1${path}`, stack.adminKey, method, body);
const predict = (input: object) => call("/v1/models/local/echo/predictions", stack.apiKey, "POST", { input });

async function publish(name: string, version: string, config: object) {
  const settings = { plugins: { "api-key": {}, [name]: { config } }, uploads: { [name]: { version } } };
  return admin("POST", "/settings", { settings, why: "a test" });
}

async function uploadOf(code: string, manifest: object = {}): Promise<Upload> {
  const full = ManifestSchema.parse({
    name: "tried",
    api_version: 1,
    phases: ["admit"],
    timeout_ms: 5000,
    ...manifest,
  });
  return { hash: await hashOf(full, code), manifest: full, code };
}

afterAll(async () => {
  await admin("POST", "/settings/rollback", { number: 0, why: "the test is over" });
});

test("a plugin that was pushed and pinned changes what models get, and a version later something else", async () => {
  const upload = await readPlugin(join(examples, "hide-emails"));
  const first = await pushPlugin(stack, upload);
  expect(first).toEqual({ version: upload.hash, isNew: true });
  expect((await pushPlugin(stack, upload)).isNew).toBe(false);
  expect((await publish("hide-emails", first.version, { fields: ["value"] })).status).toBe(201);
  await expect.poll(async () => (await predict({ value: "to ada@example.com" })).body["output"]).toContain("[e-mail]");

  const code = upload.code.replaceAll("[e-mail]", "[gone]");
  const next = await pushPlugin(stack, { ...upload, code });
  expect(next.version).not.toBe(first.version);
  await publish("hide-emails", next.version, { fields: ["value"] });
  await expect.poll(async () => (await predict({ value: "to ada@example.com" })).body["output"]).toContain("[gone]");
  expect((await admin("DELETE", `/plugins/${next.version}`)).body.code).toBe("conflict");
  expect((await admin("DELETE", `/plugins/${first.version}`)).status).toBe(204);
});

test("a plugin that hangs refuses what it guards, the rest goes on, and another version mends it", async () => {
  const loops = await uploadOf(
    `export default { setup: () => ({ admit: ({ input }) => {
      if (JSON.stringify(input).includes("loop")) for (;;);
      return { verdict: "continue" };
    } }) };`,
    { timeout_ms: 500 },
  );
  const { version } = await pushPlugin(stack, loops);
  expect((await publish("tried", version, {})).status).toBe(201);
  await expect.poll(async () => (await predict({ value: "loop" })).body.code).toBe("guard_unavailable");
  expect((await call("/v1/models", stack.apiKey, "GET")).status).toBe(200);
  // Its process is ended, and the next one answers.
  await expect.poll(async () => (await predict({ value: "fine" })).body.status).toBe("succeeded");

  const mended = await uploadOf(`export default { setup: () => ({ admit: () => ({ verdict: "continue" }) }) };`);
  await publish("tried", (await pushPlugin(stack, mended)).version, {});
  await expect.poll(async () => (await predict({ value: "loop" })).body.status).toBe("succeeded");
});

test.each([
  ["no JavaScript", "export default {", "SyntaxError"],
  ["no plugin", "export default 7;", "default export"],
  ["one that throws as it loads", "throw new Error('no weights');", "no weights"],
])("a module that is %s is refused with the reason", async (_what, module, reason) => {
  const { manifest } = await uploadOf(module);
  const { status, body } = await admin("POST", "/plugins", { manifest, module });
  expect({ status, code: body.code }).toEqual({ status: 422, code: "plugin_invalid" });
  expect(body["detail"]).toContain(reason);
});

test("a plugin that can't be set up is not published, and what held goes on", async () => {
  const upload = await uploadOf(
    `export default { setup({ config }) { throw new Error("there is no " + config.list); } };`,
  );
  const { version } = await pushPlugin(stack, upload);
  const refused = await publish("tried", version, { list: "word list" });
  expect(refused).toMatchObject({ status: 422, body: { code: "plugin_invalid" } });
  expect(refused.body["detail"]).toContain("there is no word list");
  expect((await publish("other-name", version, {})).body.code).toBe("plugin_invalid");
  expect((await publish("tried", "0".repeat(64), {})).body.code).toBe("plugin_missing");
  expect((await predict({ value: "fine" })).body.status).toBe("succeeded");
});
