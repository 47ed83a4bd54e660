/**
 * The snippets of the pages that clients read, run as they stand, top to bottom, against the real stack. Each `curl`
 * must be answered with 2xx, each program must end well. What the prose around a snippet presupposes is here:
 * variables, a file, a finished prediction.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { createWebhookReceiver } from "../e2e/webhook-receiver.ts";
import type { WebhookReceiver } from "../e2e/webhook-receiver.ts";
import { pages, snippetsOf, strictCurl } from "./snippets.ts";
import type { Snippet } from "./snippets.ts";
import { startClientStack } from "./stack.ts";
import type { ClientStack } from "./stack.ts";

const root = join(import.meta.dirname, "../..");
/** What installs, starts or tests this very repository, or needs an account of Cloudflare. */
const NOT_RUN = [/^git clone /, /npm run pool /, /^npm test /, /npx wrangler /];
const ORIGINS = ["http://127.0.0.1:8787", "https://edge.example.com"];
const IdSchema = z.looseObject({
  id: z.string(),
  urls: z.looseObject({ stream: z.string().optional(), get: z.string().optional() }).optional(),
});
const SecretSchema = z.object({ key: z.string() });
const ModelSchema = z.looseObject({ latest_version: z.looseObject({ id: z.string() }) });

let stack: ClientStack;
let receiver: WebhookReceiver;
let dir: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  stack = await startClientStack();
  receiver = await createWebhookReceiver();
  dir = mkdtempSync(join(tmpdir(), "edgeplane-snippets-"));
  symlinkSync(join(root, "node_modules"), join(dir, "node_modules"));
  mkdirSync(join(dir, ".edgeplane"));
  writeFileSync(
    join(dir, ".edgeplane/dev.json"),
    JSON.stringify({ url: stack.url, apiKey: stack.apiKey, adminKey: stack.adminKey, kafka: stack.kafka }),
  );
  writeFileSync(join(dir, "cat.png"), "a cat");
  // What came before the download broke off, and the whole.
  writeFileSync(join(dir, "film.mp4"), "the beginning");
  const film = await fetch(`${stack.plainUrl}/v1/files?name=trailer.mp4`, {
    method: "POST",
    headers: { authorization: `Bearer ${stack.apiKey}`, "content-type": "video/mp4" },
    body: "the beginning of a film",
  });
  const scripts = { plugin: `node ${join(root, "scripts/run.mjs")} plugin` };
  writeFileSync(join(dir, "package.json"), JSON.stringify({ type: "module", scripts }));
  const prediction = await created(
    "/v1/models/local/stream-words/predictions",
    { input: { text: "a b" }, webhook: receiver.url, webhook_events_filter: ["completed"] },
    stack.apiKey,
  );
  const account = await created("/admin/v1/accounts", { name: "snippets" }, stack.adminKey);
  const key = await created("/admin/v1/keys", { account: "snippets" }, stack.adminKey);
  const headers = { authorization: `Bearer ${stack.apiKey}` };
  const secret: unknown = await (await fetch(`${stack.plainUrl}/v1/webhooks/default/secret`, { headers })).json();
  await receiver.until((received) => received.length === 1);
  writeFileSync(join(dir, "message.json"), JSON.stringify(receiver.received[0]));
  const model = await (await fetch(`${stack.plainUrl}/v1/models/local/hello-world`, { headers })).json();
  env = {
    ...process.env,
    PATH: [strictCurl(dir), process.env["PATH"]].join(delimiter),
    NODE_EXTRA_CA_CERTS: stack.certificate,
    SSL_CERT_FILE: stack.certificate,
    CURL_CA_BUNDLE: stack.certificate,
    HOME: dir,
    URL: stack.url,
    KEY: stack.apiKey,
    EDGEPLANE_API_KEY: stack.apiKey,
    ADMIN_KEY: stack.adminKey,
    ID: prediction.id,
    KEY_ID: key.id,
    EDGE: stack.url,
    ACCOUNT_ID: account.id,
    LINK: IdSchema.parse(await film.json()).urls?.get ?? "",
    WEBHOOK_ID: receiver.received[0]?.headers["webhook-id"] ?? "",
    WEBHOOK_SECRET: SecretSchema.parse(secret).key,
    STREAM_URL: prediction.urls?.stream ?? "",
    VERSION: ModelSchema.parse(model).latest_version.id,
  };
});
afterAll(async () => {
  receiver?.close();
  await stack?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function created(path: string, body: object, key: string): Promise<z.output<typeof IdSchema>> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json", prefer: "wait" };
  const answer = await fetch(`${stack.plainUrl}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  expect(answer.status).toBe(201);
  return IdSchema.parse(await answer.json());
}

async function run({ page, language, code }: Snippet): Promise<string> {
  const there = ORIGINS.reduce((text, origin) => text.replaceAll(origin, stack.url), code);
  // Its reader has a deployment of their own, without the account that docs/api.md makes.
  const here = page === "docs/deploy.md" ? there.replaceAll("acme", "deployed") : there;
  const [program, args] = programOf(language, here);
  const ran = promisify(execFile)(program, args, { cwd: dir, env, timeout: 180_000 });
  const { stdout } = await ran.catch((error: Error & { stdout?: string }) => {
    throw new Error(`${error.message}\n${error.stdout ?? ""}`, { cause: error });
  });
  return stdout;
}

function programOf(language: string, code: string): [string, string[]] {
  if (language === "sh") return ["bash", ["-euo", "pipefail", "-c", code]];
  const file = join(dir, language === "js" ? "snippet.js" : "snippet.py");
  const message =
    'const { headers, body } = JSON.parse((await import("node:fs")).readFileSync("message.json", "utf8"));';
  writeFileSync(file, code.includes("verify(body, headers)") ? `${message}\n${code}\nconsole.log(prediction);` : code);
  return language === "js" ? [process.execPath, [file]] : ["python3", [file]];
}

describe.each(pages.clients)("%s", (page) => {
  const snippets = snippetsOf(page).filter(({ code }) => !NOT_RUN.some((pattern) => pattern.test(code)));
  it.each(snippets)("line $line: $language", { timeout: 200_000 }, async (snippet) => {
    const output = await run(snippet);
    // Only calls that remove something, or write into files alone, have nothing to say.
    if (!/DELETE|^(?:cat|mkdir) /m.test(snippet.code)) expect(output).not.toBe("");
  });
});
