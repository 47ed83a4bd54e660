/** `npm run serve` and `npm run backup`, as an operator has them: a service behind a proxy, copied while it runs. */
import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { makeHome, startPool } from "../integration/pool/pool-process.ts";
import type { PoolHome, RunningPool } from "../integration/pool/pool-process.ts";
import { adminKeyOf, ORIGIN, serve, stopService } from "./service.ts";
import type { Service } from "./service.ts";

const root = join(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "edgeplane-self-host-"));
const state = join(dir, "state");
const copy = join(dir, "copy");
const LockSchema = z.object({ processes: z.array(z.object({ name: z.string(), pid: z.number() })) });
const FileSchema = z.object({ urls: z.object({ get: z.string() }) });
const PredictionSchema = z.looseObject({
  id: z.string(),
  status: z.string(),
  output: z.unknown(),
  urls: z.record(z.string(), z.string()),
});

let service: Service;
let pool: RunningPool;
let home: PoolHome;
let key: string;

type Answer = { status: number; text: string };

/** As a proxy hands it on: to the port, under the public name. */
async function call(
  method: string,
  path: string,
  secret: string,
  body?: unknown,
  host = "edge.example.com",
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { host, authorization: `Bearer ${secret}`, "content-type": "application/json", prefer: "wait" };
    const sent = request({ port: service.port, host: "127.0.0.1", method, path, headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => (text += part));
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    sent.once("error", reject);
    sent.end(body === undefined ? "" : JSON.stringify(body));
  });
}

const adminKey = (): string => adminKeyOf(state);
const made = async (path: string, body: object, field: "key" | "token" | "id"): Promise<string> => {
  const { status, text } = await call("POST", `/admin/v1/${path}`, adminKey(), body);
  expect(status).toBe(201);
  return z.looseObject({ [field]: z.string() }).parse(JSON.parse(text))[field] ?? "";
};
const predict = async (text: string): Promise<z.output<typeof PredictionSchema>> => {
  const answer = await call("POST", "/v1/models/local/hello-world/predictions", key, { input: { text } });
  return PredictionSchema.parse(JSON.parse(answer.text));
};
/** `npm run backup`, beside what goes on here. */
async function run(verb: string, folder: string, stateDir = state): Promise<{ code: number | null; output: string }> {
  const env = { ...process.env, EDGEPLANE_STATE_DIR: stateDir };
  const child = spawn(process.execPath, [join(root, "scripts/backup.ts"), verb, folder], { cwd: dir, env });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (part: string) => (output += part));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, output };
}

beforeAll(async () => {
  service = await serve(state);
  await made("accounts", { name: "acme" }, "id");
  key = await made("keys", { account: "acme", name: "first" }, "key");
  home = makeHome({});
  cpSync(join(root, "examples/hello-world"), join(home.models, "hello-world"), { recursive: true });
}, 120_000);
afterAll(async () => {
  await pool?.kill("SIGTERM");
  await stopService(service);
  home.remove();
  rmSync(dir, { recursive: true, force: true });
});

test("it begins with nothing: no account, no Kafka user, and nothing for another Host", async () => {
  expect((await call("GET", "/v1/models", key)).status).toBe(200);
  expect((await call("GET", "/v1/models", key, undefined, "evil.example")).status).toBe(403);
  expect((await call("GET", "/kafka/topics", key)).status).toBe(404);
  const accounts = await call("GET", "/admin/v1/accounts", adminKey());
  expect(accounts.text).toContain("acme");
  expect(accounts.text).not.toContain('"local"');
});

test("a pool dials in, a prediction runs, and its links begin with the public address", async () => {
  const token = await made("pool-tokens", { name: "box", may_register_models: true, owners: ["local"] }, "token");
  pool = startPool(home, `http://127.0.0.1:${service.port}`, token);
  const answered = async (): Promise<string> =>
    (await call("POST", "/v1/models/local/hello-world/predictions", key, { input: { text: "Ada" } })).text;
  await expect.poll(answered, { timeout: 30_000 }).toContain('"hello Ada"');
  expect((await predict("Ada")).urls["get"]).toContain(`${ORIGIN}/v1/predictions/`);
});

test("workerd dies: it is back, with all that was accepted", async () => {
  const { id } = await predict("before");
  const { processes } = LockSchema.parse(JSON.parse(readFileSync(join(state, "lock.json"), "utf8")));
  const workerd = processes.findLast(({ name }) => name === "workerd");
  process.kill(workerd?.pid ?? 0, "SIGKILL");
  await expect
    .poll(async () =>
      call("GET", `/v1/predictions/${id}`, key).catch((error: unknown) => ({ status: 0, text: String(error) })),
    )
    .toMatchObject({ status: 200 });
});

test("a copy made under load is whole: put back, it has accounts, keys, predictions and files", async () => {
  const { id } = await predict("kept");
  const file = await call("POST", "/v1/files?name=cat.txt", key, "a cat");
  const { pathname, search } = new URL(FileSchema.parse(JSON.parse(file.text)).urls.get);
  let isOver = false;
  const load = Array.from({ length: 8 }, async () => {
    while (!isOver) expect((await predict("busy")).status).toBe("succeeded");
  });
  const ran = await run("create", copy);
  isOver = true;
  await Promise.all(load);
  expect(ran).toMatchObject({ code: 0 });
  expect((await run("create", copy)).output).toContain("is there already");
  expect((await run("restore", copy)).output).toContain("is not empty");

  await stopService(service);
  renameSync(state, join(dir, "lost"));
  expect(await run("restore", copy)).toMatchObject({ code: 0 });
  service = await serve(state);
  expect((await call("GET", `/v1/predictions/${id}`, key)).text).toContain('"hello kept"');
  expect((await call("GET", `${pathname}${search}`, key)).text).toContain("a cat");
  expect((await call("GET", "/admin/v1/accounts", adminKey())).text).toContain("acme");
});

test("a copy that is damaged, or none, is refused, and nothing is written", async () => {
  const bad = join(dir, "bad");
  cpSync(copy, bad, { recursive: true });
  const [database = ""] = readdirSync(join(bad, "edge"), { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".sqlite"),
  );
  writeFileSync(join(bad, "edge", database), "no database at all, whatever its name says".repeat(200));
  const nowhere = join(dir, "nowhere");
  expect((await run("restore", bad, nowhere)).output).toMatch(/^backup: .*(damaged|not a database)/);
  expect((await run("restore", dir, nowhere)).output).toContain("is no backup");
  expect(existsSync(nowhere)).toBe(false);
});

const NO_TEXT = join(dir, "no-text.json");
writeFileSync(NO_TEXT, '{"KAFKA_USERS": [1]}');

test.each([
  [{ PUBLIC_ORIGIN: "" }, "PUBLIC_ORIGIN is wrong: needed"],
  [{ PUBLIC_ORIGIN: "https://edge.example.com/path" }, "without a path"],
  [{ PORT: "many" }, "PORT is wrong"],
  [{ EDGEPLANE_HOST: "nowhere" }, "EDGEPLANE_HOST is wrong"],
  [{ EDGEPLANE_VARS: "/nowhere.json" }, "EDGEPLANE_VARS: /nowhere.json"],
  [{ EDGEPLANE_VARS: NO_TEXT }, "at KAFKA_USERS"],
])("wrong settings end the start: %j", (wrong, message) => {
  const env = { ...process.env, PUBLIC_ORIGIN: ORIGIN, EDGEPLANE_STATE_DIR: join(dir, "never"), ...wrong };
  const ran = spawnSync(process.execPath, [join(root, "scripts/serve.ts")], { cwd: dir, encoding: "utf8", env });
  expect(ran.status).toBe(1);
  expect(ran.stderr).toContain(message);
});
