/** `edgeplane push` against a gateway made from the contract: what is sent, what is shown, and how it ends. */
import { createHash } from "node:crypto";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Command } from "commander";
import { addPush } from "../commands/push.ts";
import { createContext } from "../context.ts";
import type { Io } from "../io.ts";
import { runCli } from "../test-io.ts";
import type { Ran } from "../test-io.ts";
import type { Described } from "./describe.ts";
import { problem, TestGateway } from "./test-gateway.ts";

const COG = 'run: "run.py:Runner"\nedgeplane:\n  maxBatchSize: 4\n';
const RUN =
  "from cog import BaseRunner\n\n\nclass Runner(BaseRunner):\n    def run(self, text: str) -> str:\n        return text\n";

let gateway: TestGateway;
let home = "";
beforeEach(async () => {
  gateway = new TestGateway();
  await gateway.open();
  home = mkdtempSync(join(tmpdir(), "edgeplane-push-"));
  put("cog.yaml", COG);
  put("run.py", RUN);
  described = { written: [], whole: Promise.resolve({ manifest: { schema: null }, schemaProblem: null }) };
});
afterEach(() => {
  vi.useRealTimers();
  gateway.close();
  rmSync(home, { recursive: true, force: true });
});

function put(path: string, content: string | Buffer): void {
  const file = join(home, "my-model", path);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, content);
}

async function cli(args: readonly string[], more: Partial<Parameters<typeof runCli>[1]> = {}): Promise<Ran> {
  const env = { HOME: home, EDGEPLANE_URL: gateway.url, EDGEPLANE_API_KEY: "ep_x" };
  return runCli(args, { env, cwd: home, ...more });
}
/** The command alone, without the other program that reads the model. */
const alone = (io: Io): Command => {
  const program = new Command("edgeplane").option("--json").option("--key <key>").option("--url <url>");
  addPush(program, createContext(io, program), () => Promise.resolve(described));
  return program;
};
let described: Described;
const push = async (...args: string[]): Promise<Ran> => cli(["push", "my-model", ...args], { program: alone });

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const uploads = (): string[] => gateway.calls.filter((call) => /\/chunks(\/[0-9a-f]{64})?$/.test(call));

test("a folder becomes a version, with the manifest of its keys; the call that follows is written out", async () => {
  const ran = await cli(["push", "my-model"]);
  expect(ran).toMatchObject({ code: 0 });
  const [[version, pushed] = ["", undefined]] = gateway.versions;
  expect(ran.stdout).toBe(`local/my-model:${version}\n`);
  expect(pushed?.bundle.files.map(({ path }) => path)).toEqual(["cog.yaml", "run.py"]);
  expect(pushed).toMatchObject({ latest: true, manifest: { maxBatchSize: 4, streams: "no" } });
  expect(JSON.stringify(pushed?.manifest)).toContain('"required":["text"]');
  expect(ran.stderr).toContain(`live at ${gateway.url}/v1/models/local/my-model/predictions`);
  expect(ran.stderr).toContain(`-d '{"input":{"text":"hello"}}'`);
  expect(ran.stderr).toContain("edgeplane predict local/my-model -i text=hello");
});

test("a key that is none is named, and a model that can't be read here is left to a pool", async () => {
  put("cog.yaml", "edgeplane:\n  maxBatchsize: 4\n");
  const wrong = await cli(["push", "my-model", "--no-schema"]);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toMatch(/^edgeplane: cog.yaml, edgeplane: .*maxBatchsize/m);
  const whole = { manifest: { schema: null }, schemaProblem: "ImportError: no torch" };
  described = { written: ["run.py"], whole: Promise.resolve(whole) };
  put(".edgeplane/version.json", "{}");
  const ran = await push();
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.stderr).toContain("the first pool that sets it up does: ImportError: no torch\n");
  expect([...gateway.versions.values()][0]?.bundle.files.map(({ path }) => path)).toEqual(["cog.yaml"]);
});

test("a second push sends nothing, and after a change that file only; what has not changed is not read", async () => {
  put("weights.bin", Buffer.alloc(3_000_000, 7));
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_000 });
  await push();
  const [first] = gateway.versions.keys();
  gateway.receivedBytes = 0;
  const again = await push("--json");
  expect(again.stdout).toContain(`"version":"${first}"`);
  expect(again.stdout).toContain('"is_new":false');
  expect(gateway.receivedBytes).toBe(0);
  put("run.py", `${RUN}# changed\n`);
  expect((await push()).code).toBe(0);
  expect(gateway.versions.size).toBe(2);
  expect(gateway.receivedBytes).toBe(`${RUN}# changed\n`.length);
});

test("a file whose state has not changed has the hash that is remembered, and is not read", async () => {
  const [one, two] = [Buffer.alloc(1000, 1), Buffer.alloc(1000, 2)];
  put("one.bin", one);
  put("two.bin", two);
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_000 });
  await push();
  const folder = join(home, ".cache/edgeplane/push");
  const [file = ""] = readdirSync(folder);
  const swapped = readFileSync(join(folder, file), "utf8")
    .replace(sha256(one), "swap")
    .replace(sha256(two), sha256(one))
    .replace("swap", sha256(two));
  writeFileSync(join(folder, file), swapped);
  await push();
  const chunks = [...gateway.versions.values()].map(
    ({ bundle }) => bundle.files.find(({ path }) => path === "one.bin")?.chunks,
  );
  expect(chunks).toEqual([[sha256(one)], [sha256(two)]]);
});

test("files with the same content are sent once", async () => {
  for (const name of ["a", "b"]) put(`${name}.bin`, Buffer.alloc(2_000_000, 7));
  await push();
  expect(uploads().filter((call) => call.startsWith("PUT"))).toHaveLength(1);
});

test("many small files are few requests, and a large one goes alone, in chunks", async () => {
  for (let index = 0; index < 300; index += 1) put(`data/${index}`, `file ${index}`);
  put("weights.bin", Buffer.alloc(2_000_000, 7));
  await push();
  expect(uploads().filter((call) => call.startsWith("POST"))).toHaveLength(2);
  expect(uploads().filter((call) => call.startsWith("PUT"))).toHaveLength(1);
  expect([...gateway.versions.values()][0]?.bundle.files).toHaveLength(303);
});

test("what is served badly is sent again; what was refused for good ends it in one line", async () => {
  put("weights.bin", Buffer.alloc(2_000_000, 7));
  let failures = 2;
  gateway.intercept = (call) => {
    if (!/^PUT .*chunks/.test(call) || failures === 0) return undefined;
    failures -= 1;
    // Once it breaks off, once it is too busy.
    return failures === 1 ? { status: 0 } : problem(503, "unavailable", "too busy");
  };
  const ran = await push();
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.stderr.match(/trying again/g)).toHaveLength(2);
  put("more.bin", Buffer.alloc(2_000_001, 8));
  gateway.intercept = (call) =>
    /^PUT .*chunks/.test(call) ? problem(403, "quota_exceeded", "The account keeps 100 GiB.") : undefined;
  const refused = await push();
  expect(refused.code).toBe(3);
  expect(refused.stderr).toContain("edgeplane: The account keeps 100 GiB. (quota_exceeded)\n");
});

test("an interrupted push is taken up again: what had arrived is not sent again", async () => {
  for (const name of ["a", "b", "c"]) put(`${name}.bin`, Buffer.alloc(2_000_000, name));
  const stop = Promise.withResolvers<void>();
  let arrived = 0;
  gateway.intercept = async (call, request) => {
    if (!/^PUT .*chunks/.test(call)) return undefined;
    arrived += 1;
    if (arrived === 1) return undefined;
    // Not before the first has been stored.
    await expect.poll(() => gateway.receivedBytes).toBeGreaterThanOrEqual(2_000_000);
    stop.resolve();
    // Until the command gives up.
    await new Promise((resolve) => request.once("close", resolve).resume());
    return { status: 0 };
  };
  const cut = await cli(["push", "my-model"], { program: alone, interrupt: stop.promise });
  expect(cut).toMatchObject({ code: 130, stdout: "" });
  expect(gateway.versions.size).toBe(0);
  const before = gateway.receivedBytes;
  gateway.intercept = () => undefined;
  expect(await push()).toMatchObject({ code: 0 });
  expect(gateway.receivedBytes - before).toBeLessThan(4_001_000);
});

test("a file that changes while it is pushed is told, and nothing is registered", async () => {
  put("weights.bin", Buffer.alloc(2_000_000, 7));
  gateway.intercept = (call) => {
    if (call.endsWith("/missing")) appendFileSync(join(home, "my-model/weights.bin"), "x");
    return undefined;
  };
  const ran = await push();
  expect(ran).toMatchObject({ code: 1, stdout: "" });
  expect(ran.stderr).toContain("edgeplane: weights.bin changed while it was pushed: nothing was registered\n");
  expect(uploads().filter((call) => call.startsWith("PUT"))).toEqual([]);
  expect(gateway.versions.size).toBe(0);
});

test("a file that goes while it is pushed is told as one that changed, and the gateway isn't blamed", async () => {
  put("weights.bin", Buffer.alloc(2_000_000, 7));
  gateway.intercept = (call) => {
    if (call.endsWith("/missing")) rmSync(join(home, "my-model/weights.bin"));
    return undefined;
  };
  const ran = await push();
  expect(ran).toMatchObject({ code: 1, stdout: "" });
  expect(ran.stderr).toContain("edgeplane: weights.bin changed while it was pushed: nothing was registered\n");
  expect(ran.stderr).not.toContain("can't be reached");
});

test("a file that changes once it was looked at is found before anything is registered", async () => {
  await push();
  put("weights.bin", Buffer.alloc(2_000_000, 7));
  gateway.intercept = (call) => {
    if (/^PUT .*chunks/.test(call)) utimesSync(join(home, "my-model/run.py"), 1, 1);
    return undefined;
  };
  expect((await push()).stderr).toContain("run.py changed while it was pushed");
  expect(gateway.versions.size).toBe(1);
});

test("chunks that were swept before the version was registered are sent again", async () => {
  let isSwept = false;
  gateway.intercept = (call) => {
    if (call.startsWith("POST") && call.endsWith("/versions") && !isSwept) {
      isSwept = true;
      gateway.chunks.clear();
    }
    return undefined;
  };
  expect(await push()).toMatchObject({ code: 0 });
  expect(gateway.chunks.size).toBe(2);
});

test("it waits while the version is pending, with the reason; a failed one prints its log", async () => {
  const pending = { status: "pending", problem: "No pool that may serve it is connected." };
  gateway.states = [pending, pending, { status: "live", problem: null }];
  const ran = await push("--alias", "stable", "--no-latest");
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.stderr.match(/pending: No pool that may serve it is connected/g)).toHaveLength(1);
  const [version = ""] = gateway.versions.keys();
  expect(gateway.aliases.get("stable")).toEqual({ version });
  expect(gateway.versions.get(version)?.latest).toBe(false);
  expect(ran.stderr).toContain(`edgeplane predict local/my-model:${version}`);
  gateway.states = [{ status: "failed", problem: "ImportError: x", stage: "setup", log: "Traceback\n  line 1\n" }];
  const failed = await push();
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain(
    `Traceback\n  line 1\nedgeplane: local/my-model:${version} failed in setup: ImportError: x\n`,
  );
  gateway.states = [pending];
  const left = await push("--no-wait");
  expect(left).toMatchObject({ code: 0 });
  expect(left.stderr).toContain(`pending: \`edgeplane versions show local/my-model:${version}\``);
});

test("a version's problem and log are one command away", async () => {
  await push();
  const [version = ""] = gateway.versions.keys();
  gateway.states = [{ status: "failed", problem: "ImportError: x", stage: "setup", log: "Traceback\n  line 1\n" }];
  const shown = await cli(["versions", "show", `local/my-model:${version}`]);
  expect(shown).toMatchObject({ code: 0 });
  expect(shown.stdout).toMatch(/^status +failed$[\s\S]*^problem +ImportError: x$\nlog\nTraceback\n {2}line 1\n$/m);
  expect((await cli(["versions", "show", "local/my-model"])).code).toBe(2);
});

test("--json tells each step as an event a line", async () => {
  const { stdout, code } = await push("--json");
  expect(code).toBe(0);
  const events = stdout
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { event: string }).event);
  expect(events.filter((event) => event !== "progress")).toEqual(["listed", "sent", "registered", "live"]);
});

test("each wrong use is one clear line", async () => {
  const line = async (args: readonly string[]): Promise<[number, string]> => {
    const { code, stderr } = await cli(args, { program: alone });
    return [code, stderr.split("\n").find((text) => text.startsWith("edgeplane: ")) ?? stderr];
  };
  expect(await line(["push", "nowhere"])).toEqual([2, `edgeplane: ${join(home, "nowhere")} has no cog.yaml`]);
  expect(await line(["--key", "ep_wrong", "push", "my-model"])).toEqual([
    3,
    "edgeplane: no such key (unauthenticated)",
  ]);
  const dead = await line(["--url", "http://127.0.0.1:9", "push", "my-model"]);
  expect(dead).toEqual([5, expect.stringContaining("http://127.0.0.1:9 can't be reached")]);
  expect(await line(["push", "my-model", "--model", "acme/x"])).toEqual([
    3,
    "edgeplane: the key is local's, and can't push a model of acme",
  ]);
  symlinkSync("/etc/hostname", join(home, "my-model/out"));
  expect(await line(["push", "my-model"])).toEqual([
    2,
    "edgeplane: out is a link that leads out of the folder, to /etc/hostname",
  ]);
  rmSync(join(home, "my-model/out"));
  put("A.txt", "1");
  put("a.txt", "2");
  expect((await line(["push", "my-model"]))[1]).toContain('"a.txt" and "A.txt" differ only in case');
  rmSync(join(home, "my-model/a.txt"));
  gateway.intercept = (call) =>
    call.endsWith("/missing") ? problem(404, "not_found", "There is nothing at this address.") : undefined;
  expect(await line(["push", "my-model"])).toEqual([
    1,
    `edgeplane: the gateway at ${gateway.url} is older than this command: it takes no pushed models`,
  ]);
});

const loud = JSON.stringify({ name: "loud", api_version: 1, phases: ["screenInput"] });

test("plugins of the folder are built into modules that are pushed with it, and are told in their order", async () => {
  put("plugins/loud/plugin.json", loud);
  put("plugins/loud/tail.ts", 'export const tail: string = "!";\n');
  put("plugins/loud/plugin.ts", 'import { tail } from "./tail.ts";\nexport default { setup: () => ({ tail }) };\n');
  put("plugins/notes.md", "no plugin");
  const plugins = [{ name: "loud", phases: ["screenInput"] }];
  gateway.states = [{ status: "live", problem: null, plugins }];
  const ran = await push();
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.stderr).toContain("with the plugins loud");
  expect(ran.stderr).toContain("its plugins run in this order: loud (screenInput)");
  const [pushed] = gateway.versions.values();
  const module = pushed?.bundle.files.find(({ path }) => path === "plugins/loud/module.js");
  const code = gateway.chunks.get(module?.chunks[0] ?? "")?.toString();
  expect(code).toContain('var tail = "!";');
  expect(code).not.toContain(home);
  expect(readdirSync(join(home, "my-model/plugins/loud"))).not.toContain("module.js");
  // The same folder is the same version, wherever it is pushed from.
  const again = await cli(["push", "."], { program: alone, cwd: join(home, "my-model") });
  expect(again).toMatchObject({ code: 0 });
  expect(gateway.versions.size).toBe(1);
});

test.each([
  ["has no source", { "plugin.json": loud }, "plugins/loud has neither plugin.ts nor plugin.js"],
  ["doesn't build", { "plugin.json": loud, "plugin.ts": "export default {" }, "found end of file"],
  ["has a manifest that doesn't hold", { "plugin.json": "{}", "plugin.ts": "" }, "doesn't hold"],
])("a plugin that %s ends the push before anything is sent", async (_what, files: Record<string, string>, reason) => {
  for (const [file, text] of Object.entries(files)) put(`plugins/loud/${file}`, text);
  const ran = await push();
  expect([ran.code, ran.stderr]).toEqual([2, expect.stringContaining(reason)]);
  expect(uploads()).toEqual([]);
});

test("a gateway that runs no plugins of models is told of, and one that may not is asked no further", async () => {
  put("plugins/loud/plugin.json", loud);
  put("plugins/loud/module.js", "export default { setup: () => ({}) };");
  const old = await push();
  expect([old.code, old.stderr]).toEqual([1, expect.stringContaining("doesn't run its plugins")]);
  gateway.intercept = (call) =>
    call.startsWith("POST") && call.endsWith("/versions") ? problem(403, "plugins_not_allowed", "not here") : undefined;
  const refused = await push();
  expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining("not here")]);
});
