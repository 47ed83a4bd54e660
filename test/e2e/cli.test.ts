/** The `edgeplane` command against the stack: what a user types, what comes out, and how it ends. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, inject, test } from "vitest";
import { runCli } from "../../cli/test-io.ts";
import type { Ran } from "../../cli/test-io.ts";

const stack = inject("stack");
const home = mkdtempSync(join(tmpdir(), "edgeplane-cli-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const env = {
  HOME: home,
  EDGEPLANE_URL: stack.url,
  EDGEPLANE_API_KEY: stack.apiKey,
  EDGEPLANE_ADMIN_KEY: stack.adminKey,
};
const cli = async (...args: string[]): Promise<Ran> => runCli(args, { env, cwd: home });

test("predict prints a text as it is, a stream as it comes, and files where it is told to", async () => {
  expect(await cli("predict", "local/hello-world", "-i", "text=123")).toMatchObject({ code: 0, stdout: "hello 123\n" });
  const words = ["predict", "local/stream-words", "-i", "text=one two three"];
  await cli(...words);
  expect(await cli(...words)).toMatchObject({ code: 0, stdout: "one two three\n" });
  const echoed = await cli("predict", "local/echo", "--input-json", '{"value": {"a": [1]}}', "--json");
  expect(JSON.parse(echoed.stdout)).toMatchObject({ status: "succeeded" });
});

test("a file goes up, and an output's file is saved", async () => {
  const gif = Buffer.from("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64");
  writeFileSync(join(home, "dot.gif"), gif);
  const ran = await cli("predict", "local/echo", "-i", "value=@dot.gif", "-o", "out");
  expect(ran.stdout).toContain(`${stack.url}/v1/files/`);
  const [saved = ""] = readdirSync(join(home, "out"));
  expect(readFileSync(join(home, "out", saved))).toEqual(gif);
});

test("what the gateway refuses comes with its code, and an exit code by its kind", async () => {
  const bad = await cli("predict", "local/hello-world");
  expect(bad).toMatchObject({ code: 1, stdout: "" });
  expect(bad.stderr).toContain("input.text: is required (invalid_input");
  expect((await cli("predict", "local/nowhere")).code).toBe(4);
  expect((await cli("--key", "ep_wrong", "models", "list")).code).toBe(3);
});

test("predictions are listed, shown, canceled; their logs and data are read and removed", async () => {
  const { stdout: id } = await cli("predict", "local/hello-world", "-i", "text=Ada", "--detach");
  const name = id.trim();
  await expect.poll(async () => (await cli("predictions", "list", "--json")).stdout).toContain(name);
  const shown = async () => JSON.parse((await cli("predictions", "show", name)).stdout) as { status: string };
  await expect.poll(async () => (await shown()).status).toBe("succeeded");
  expect((await cli("predictions", "logs", name)).code).toBe(0);
  expect((await cli("predictions", "cancel", name)).code).toBe(0);
  expect((await cli("predictions", "delete", name)).code).toBe(0);
  expect(await shown()).toMatchObject({ data_removed: true });
});

test("Ctrl-C cancels what runs", async () => {
  const model = "local/stream-words";
  const find = async (status: string): Promise<string> =>
    (await cli("predictions", "list", "--model", model, "--status", status, "--json")).stdout;
  const isRunning = async (): Promise<void> => {
    await expect.poll(async () => find("processing")).toContain(model);
  };
  const words = ["predict", model, "-i", "text=one two three four five", "-i", "delay_ms=5000"];
  const ran = await runCli(words, { env, cwd: home, interrupt: isRunning() });
  expect(ran.code).toBe(130);
  await expect.poll(async () => find("canceled")).toContain(model);
});

test("models are made, found and deleted", async () => {
  expect(await cli("models", "create", "local/by-hand")).toMatchObject({ stdout: "local/by-hand (private)\n" });
  expect((await cli("models", "list", "by-hand")).stdout).toContain("local/by-hand");
  const configured = await cli("models", "configure", "local/by-hand", '{"maxBatchSize": 4}');
  expect(JSON.parse(configured.stdout)).toEqual({ maxBatchSize: 4 });
  expect((await cli("models", "configure", "local/by-hand", "null")).stdout).toBe("null\n");
  expect((await cli("models", "configure", "local/by-hand", "{}{")).code).toBe(2);
  expect((await cli("models", "delete", "local/by-hand")).code).toBe(0);
  expect((await cli("models", "show", "local/by-hand")).code).toBe(4);
  expect((await cli("versions", "list", "local/hello-world")).stdout).toMatch(/^VERSION/);
});

test("a version is named, promoted and found by its name", async () => {
  const model = "local/hello-world";
  const [{ id }] = JSON.parse((await cli("versions", "list", model, "--json")).stdout) as [{ id: string }];
  expect((await cli("aliases", "set", model, "stable", "latest")).stdout).toBe(`${model}:stable is ${id}\n`);
  expect((await cli("aliases", "list", model)).stdout).toMatch(/^ALIAS .*\nlatest .*\nstable /);
  expect((await cli("aliases", "show", model, "stable")).stdout).toContain(`stable ${id}\n`);
  expect((await cli("predict", `${model}:stable`, "-i", "text=1")).stdout).toBe("hello 1\n");
  expect((await cli("promote", model, id, "--alias", "stable")).stdout).toBe(`${model}:stable is ${id}\n`);
  expect((await cli("promote", model, "nothing")).stderr).toContain("version_not_found");
  const rolled = await cli("rollback", model);
  expect([rolled.code, rolled.stderr]).toEqual([1, expect.stringContaining("no version before this one")]);
  expect((await cli("aliases", "set", model, "deadbeef", id)).stderr).toContain("must not look like a version");
  const [name, other] = [`${model}:stable`, "0".repeat(64)];
  expect((await cli("canary", "start", name, other, "--percent", "5")).stderr).toContain("version_not_found");
  expect((await cli("canary", "start", name, id, "--percent", "5")).stderr).toContain("points to already");
  expect((await cli("canary", "start", name, id, "--steps", "5")).code).toBe(2);
  expect(await cli("canary", "status", name)).toMatchObject({ code: 0, stderr: `${name} has had no canary\n` });
  expect((await cli("canary", "abort", name)).code).toBe(4);
  const rules = '[{"accounts":["nobody"],"version":"stable"}]';
  expect(JSON.parse((await cli("routes", "set", model, rules)).stdout)).toMatchObject([{ version: "stable" }]);
  expect(JSON.parse((await cli("routes", "show", model)).stdout)).toMatchObject([{ accounts: ["nobody"] }]);
  expect((await cli("routes", "set", model, "{}")).code).toBe(2);
  expect((await cli("routes", "set", model, "[]")).stdout).toBe("[]\n");
  expect((await cli("aliases", "delete", model, "stable")).code).toBe(0);
  expect((await cli("predict", `${model}:stable`, "-i", "text=1")).code).toBe(4);
  expect((await cli("aliases", "list", `${model}:stable`)).code).toBe(2);
});

test("a deployment is made, moved and deleted", async () => {
  expect((await cli("deployments", "create", "cli-hello", "local/hello-world")).stdout).toContain("release 1");
  expect((await cli("deployments", "promote", "local/cli-hello")).stderr).toContain("already");
  expect((await cli("deployments", "list")).stdout).toContain("local/cli-hello");
  expect((await cli("deployments", "delete", "local/cli-hello")).code).toBe(0);
});

test("a login is kept, and found again", async () => {
  const alone = { HOME: home };
  const login = await runCli(["login", "--url", stack.url], { env: alone, cwd: home, stdin: `${stack.apiKey}\n` });
  expect(login).toMatchObject({ code: 0 });
  const who = await runCli(["whoami"], { env: alone, cwd: home });
  expect(who.stdout).toContain(`local (organization) at ${stack.url}`);
  expect((await runCli(["login", "--url", stack.url], { env: alone, cwd: home, stdin: "ep_wrong" })).code).toBe(3);
  expect((await runCli(["logout"], { env: alone, cwd: home })).code).toBe(0);
  expect((await runCli(["whoami"], { env: alone, cwd: home })).code).toBe(2);
});

test("an operator makes an account, a key and a token, and takes them away", async () => {
  expect((await cli("accounts", "create", "cli-acme")).code).toBe(0);
  const { stdout: key } = await cli("keys", "create", "ci", "--account", "cli-acme");
  expect(
    (await runCli(["--url", stack.url, "--key", key.trim(), "whoami"], { env: { HOME: home }, cwd: home })).stdout,
  ).toContain("cli-acme");
  const [listed] = JSON.parse((await cli("keys", "list", "cli-acme", "--json")).stdout) as { id: string }[];
  const rotated = await cli("keys", "rotate", listed?.id ?? "", "--overlap", "0");
  expect(rotated.stdout).toMatch(/^ep_/);
  const token = JSON.parse((await cli("pool-tokens", "create", "box", "--json")).stdout) as {
    id: string;
    token: string;
  };
  expect((await cli("pool-tokens", "revoke", token.id)).code).toBe(0);
  expect((await cli("accounts", "update", "cli-acme", "--weight", "nonsense")).code).toBe(2);
});

test("settings are tried, published, compared and rolled back", async () => {
  const before = JSON.parse((await cli("settings", "show", "--json")).stdout) as {
    number: number;
    settings: { plugins: object };
  };
  const draft = {
    ...before.settings,
    plugins: { ...before.settings.plugins, cors: { config: { origins: ["https://cli.example"] } } },
  };
  writeFileSync(join(home, "draft.json"), JSON.stringify(draft));
  const tried = await cli("settings", "publish", "draft.json", "--why", "a try", "--dry-run");
  expect(tried).toMatchObject({ code: 0 });
  expect(tried.stdout).toContain("/plugins/cors: null →");
  const published = JSON.parse((await cli("settings", "publish", "draft.json", "--why", "cli", "--json")).stdout) as {
    number: number;
  };
  expect((await cli("settings", "diff", String(before.number))).stdout).toContain("cli.example");
  expect((await cli("settings", "rollback", String(before.number), "--why", "back")).code).toBe(0);
  expect((await cli("settings", "history")).stdout).toContain(String(published.number));
  expect((await cli("settings", "publish", "missing.json", "--why", "x")).code).toBe(2);
});

test("the operator sees the pool, with room for its models", async () => {
  const { stdout } = await cli("pools");
  expect(stdout).toMatch(/^POOL .*\n\S+ +connected +default /);
  expect((await cli("pools", "list", "--models")).stdout).toMatch(/local\/hello-world +[0-9a-f]{12} +\d+ /);
  const [pool] = JSON.parse((await cli("pools", "--json")).stdout) as [{ is_heard: boolean }];
  expect(pool.is_heard).toBe(true);
});

test("what a model's owner and a deployment say of how it runs holds on the pool at once", async () => {
  const model = "local/batch-upper";
  const room = async (): Promise<number | undefined> => {
    const [pool] = JSON.parse((await cli("pools", "--json")).stdout) as [
      { models: { model: string; room?: number }[] },
    ];
    return pool.models.find((one) => one.model === model)?.room;
  };
  const before = await room();
  expect((await cli("models", "configure", model, '{"maxBatchSize": 3}')).code).toBe(0);
  await expect.poll(room).toBe(3);
  await cli("deployments", "create", "cli-batches", model);
  const said = await cli(
    "deployments",
    "configure",
    "local/cli-batches",
    '{"maxBatchSize": 2, "startTimeoutMs": 9000}',
  );
  expect(JSON.parse(said.stdout)).toEqual({ maxBatchSize: 2, startTimeoutMs: 9000 });
  await expect.poll(room).toBe(2);
  expect((await cli("deployments", "create", "cli-other", model)).code).toBe(0);
  const other = await cli("deployments", "configure", "local/cli-other", '{"maxBatchSize": 4}');
  expect([other.code, other.stderr]).toEqual([1, expect.stringContaining("local/cli-batches runs the same version")]);
  expect((await cli("deployments", "delete", "local/cli-other")).code).toBe(0);
  expect((await cli("deployments", "delete", "local/cli-batches")).code).toBe(0);
  expect((await cli("models", "configure", model, "null")).stdout).toBe("null\n");
  await expect.poll(room).toBe(before);
});

test("topics are listed and described, with how far their readers are", async () => {
  const { url, username, password } = stack.kafka;
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  const body = JSON.stringify(["one", "two"].map((value) => ({ topic: "cli-topic", partition: 0, value })));
  expect((await fetch(`${url}/produce`, { method: "POST", headers: { authorization }, body })).status).toBe(200);
  const read = await fetch(`${url}/consume/readers/r1/cli-topic?timeout=0`, {
    headers: { authorization, "kafka-auto-offset-reset": "earliest", "kafka-enable-auto-commit": "false" },
  });
  expect(await read.json()).toHaveLength(2);
  await fetch(`${url}/commit/readers/r1/cli-topic/0/1`, { headers: { authorization } });
  const user = { ...env, EDGEPLANE_KAFKA_USERNAME: username, EDGEPLANE_KAFKA_PASSWORD: password };
  const topics = async (...args: string[]): Promise<Ran> => runCli(["topics", ...args], { env: user, cwd: home });
  expect((await topics()).stdout).toMatch(/^cli-topic +\d+ +readers$/m);
  expect((await topics("describe", "cli-topic")).stdout).toMatch(/^0 +0 +2 +readers +1 +1 +r1$/m);
});

test("doctor finds the stack in good health, and says what is not", async () => {
  const good = await cli("doctor");
  const complaints = good.stdout.split("\n").filter((line) => line.startsWith("✗"));
  // Where push.test.ts ran before, the pool has a version that it can't set up, and doctor says so.
  expect(complaints.filter((line) => !line.includes("can't set local/reader:"))).toEqual([]);
  expect(good.code).toBe(complaints.length === 0 ? 0 : 1);
  expect(good.stdout).toContain("✓ a prediction runs: local/hello-world answered");
  const bad = await runCli(["--url", stack.url, "--key", "ep_wrong", "doctor"], { env: { HOME: home }, cwd: home });
  expect(bad.code).toBe(1);
  expect(bad.stdout).toContain("✗ the API key is valid");
});

test("npx edgeplane works in the repository", () => {
  const root = join(import.meta.dirname, "../..");
  const said = execFileSync("npx", ["edgeplane", "whoami", "--json"], {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  expect(JSON.parse(said)).toMatchObject({ account: "local", url: stack.url });
});

test("a folder that init wrote runs by itself, and another one says what is wrong with it", async () => {
  expect((await cli("init", "my-model")).code).toBe(0);
  expect((await cli("init", "my-model")).code).toBe(2);
  const ran = await runCli(["run", "my-model", "-i", "text=Ada"], {
    env: process.env as Record<string, string>,
    cwd: home,
  });
  expect(ran).toMatchObject({ code: 0, stdout: "Hello, Ada!\n" });
  const cog = readFileSync(join(home, "my-model/cog.yaml"), "utf8");
  writeFileSync(join(home, "my-model/cog.yaml"), cog.replace("run.py:Runner", "5"));
  expect((await cli("run", "missing")).code).toBe(2);
}, 60_000);
