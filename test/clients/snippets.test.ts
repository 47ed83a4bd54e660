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
import { snippetsOf, strictCurl } from "./snippets.ts";
import type { Snippet } from "./snippets.ts";
import { startClientStack } from "./stack.ts";
import type { ClientStack } from "./stack.ts";

const root = join(import.meta.dirname, "../..");
const pages = ["README.md", "docs/api.md", "docs/migrate-from-replicate.md", "docs/operate.md", "docs/kafka.md"];
/** What installs, starts or tests this very repository, or needs an account of Cloudflare. */
const NOT_RUN = [/^git clone /, /npm run pool /, /^npm test /, /^npx wrangler .* --remote /];
const LOCAL_URL = "http://127.0.0.1:8787";
const IdSchema = z.looseObject({ id: z.string(), urls: z.looseObject({ stream: z.string().optional() }).optional() });
const ModelSchema = z.looseObject({ latest_version: z.looseObject({ id: z.string() }) });

let stack: ClientStack;
let dir: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  stack = await startClientStack();
  dir = mkdtempSync(join(tmpdir(), "edgeplane-snippets-"));
  symlinkSync(join(root, "node_modules"), join(dir, "node_modules"));
  mkdirSync(join(dir, ".edgeplane"));
  writeFileSync(
    join(dir, ".edgeplane/dev.json"),
    JSON.stringify({ apiKey: stack.apiKey, adminKey: stack.adminKey, kafka: stack.kafka }),
  );
  writeFileSync(join(dir, "cat.png"), "a cat");
  writeFileSync(join(dir, "package.json"), '{"type":"module"}');
  const prediction = await created(
    "/v1/models/local/stream-words/predictions",
    { input: { text: "a b" } },
    stack.apiKey,
  );
  await created("/admin/v1/accounts", { name: "snippets" }, stack.adminKey);
  const key = await created("/admin/v1/keys", { account: "snippets" }, stack.adminKey);
  const headers = { authorization: `Bearer ${stack.apiKey}` };
  const model = await (await fetch(`${stack.plainUrl}/v1/models/local/hello-world`, { headers })).json();
  env = {
    ...process.env,
    PATH: [strictCurl(dir), process.env["PATH"]].join(delimiter),
    NODE_EXTRA_CA_CERTS: stack.certificate,
    SSL_CERT_FILE: stack.certificate,
    CURL_CA_BUNDLE: stack.certificate,
    URL: stack.url,
    KEY: stack.apiKey,
    EDGEPLANE_API_KEY: stack.apiKey,
    ADMIN_KEY: stack.adminKey,
    ID: prediction.id,
    KEY_ID: key.id,
    STREAM_URL: prediction.urls?.stream ?? "",
    VERSION: ModelSchema.parse(model).latest_version.id,
  };
});
afterAll(async () => {
  await stack?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function created(path: string, body: object, key: string): Promise<z.output<typeof IdSchema>> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json", prefer: "wait" };
  const answer = await fetch(`${stack.plainUrl}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  expect(answer.status).toBe(201);
  return IdSchema.parse(await answer.json());
}

async function run({ language, code }: Snippet): Promise<string> {
  const here = code.replaceAll(LOCAL_URL, stack.url);
  const [program, args] = programOf(language, here);
  const { stdout } = await promisify(execFile)(program, args, { cwd: dir, env, timeout: 60_000 });
  return stdout;
}

function programOf(language: string, code: string): [string, string[]] {
  if (language === "sh") return ["bash", ["-euo", "pipefail", "-c", code]];
  const file = join(dir, language === "js" ? "snippet.js" : "snippet.py");
  writeFileSync(file, code);
  return language === "js" ? [process.execPath, [file]] : ["python3", [file]];
}

describe.each(pages)("%s", (page) => {
  const snippets = snippetsOf(page).filter(({ code }) => !NOT_RUN.some((pattern) => pattern.test(code)));
  it.each(snippets)("line $line: $language", async (snippet) => {
    const output = await run(snippet);
    // Only calls that remove something have nothing to say.
    if (!snippet.code.includes("DELETE")) expect(output).not.toBe("");
  });
});
