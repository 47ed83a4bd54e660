/** A clone without its packages, whose `npm` is a script that notes that it ran. */
import { spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

let clone = "";

beforeEach(() => {
  clone = join(mkdtempSync(join(tmpdir(), "edgeplane-clone-")), "with a space");
  mkdirSync(join(clone, "scripts/lib"), { recursive: true });
  for (const name of ["run.mjs", "lib/bootstrap.mjs"]) {
    cpSync(join(import.meta.dirname, "..", name), join(clone, "scripts", name));
  }
  writeFileSync(join(clone, "package-lock.json"), "{}");
  writeFileSync(join(clone, "scripts/tell.ts"), "console.log(JSON.stringify(process.env['NO_PROXY']));");
  npm("echo $1 >> npm.log; echo added 1 package; sleep 0.3; mkdir -p node_modules");
});
afterEach(() => rmSync(join(clone, ".."), { recursive: true, force: true }));

function npm(script: string): void {
  mkdirSync(join(clone, "bin"), { recursive: true });
  writeFileSync(join(clone, "bin/npm"), `#!/bin/sh\n${script}\n`);
  chmodSync(join(clone, "bin/npm"), 0o755);
}

/** Less than a test may take. */
const LIMIT_MS = 45_000;
const lockFile = () => join(clone, ".edgeplane-install.lock");

/** Runs the clone's script; kills it after `LIMIT_MS`. */
async function run(
  env: Record<string, string> = {},
  onText: (text: string) => void = () => {},
  { signal }: { signal?: AbortSignal } = {},
): Promise<{ code: number | null; text: string; stdout: string }> {
  const path = [join(clone, "bin"), process.env["PATH"]].join(delimiter);
  const child = spawn(process.execPath, [join(clone, "scripts/run.mjs"), "tell"], {
    env: { ...process.env, PATH: path, ...env },
    timeout: LIMIT_MS,
    killSignal: "SIGKILL",
    ...(signal === undefined ? {} : { signal }),
  });
  child.on("error", () => {});
  let text = "";
  let stdout = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (part: Buffer) => {
      text += part.toString();
      onText(part.toString());
    });
  child.stdout.on("data", (part: Buffer) => (stdout += part.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, text, stdout };
}

test("two starts at once install once, and the second says that it waits", async () => {
  const results = await Promise.all([run(), run()]);
  expect(results.map(({ code }) => code)).toEqual([0, 0]);
  expect(results.map(({ text }) => text).join("")).toMatch(/process \d+ installs the dependencies; waiting for it/);
  expect(readFileSync(join(clone, "npm.log"), "utf8")).toBe("ci\n");
  expect(existsSync(lockFile())).toBe(false);
});

test.each([
  ["empty, as a full disk leaves it", ""],
  ["of a dead process", "9999999 1"],
  ["of a process whose number another has", `${process.pid}`],
])("a lock that is left over, %s, stops no start", async (_name, text) => {
  writeFileSync(lockFile(), text);
  utimesSync(lockFile(), 1, 1);
  expect((await run()).code).toBe(0);
});

/**
 * A start that is held between its judgement and what it does about it: before it removes or replaces a file whose name
 * ends so.
 */
function heldAt(end: string): { env: Record<string, string>; isHeld: () => boolean; goOn: () => void } {
  const name = `held-${(holds += 1)}`;
  const [judged, goOn] = [join(clone, `${name}-judged`), join(clone, `${name}-go-on`)];
  const script = join(clone, `${name}.mjs`);
  writeFileSync(
    script,
    `import fs from "node:fs";
    import { syncBuiltinESMExports } from "node:module";
    const hold = (path) => {
      if (!new RegExp(${JSON.stringify(end)}).test(String(path)) || fs.existsSync(${JSON.stringify(judged)})) return;
      fs.writeFileSync(${JSON.stringify(judged)}, "");
      while (!fs.existsSync(${JSON.stringify(goOn)})) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    };
    const { rmSync, renameSync } = fs;
    fs.rmSync = (path, options) => (hold(path), rmSync(path, options));
    fs.renameSync = (from, to) => (hold(to), renameSync(from, to));
    syncBuiltinESMExports();`,
  );
  const env = { NODE_OPTIONS: `--import="${script}"` };
  return { env, isHeld: () => existsSync(judged), goOn: () => writeFileSync(goOn, "") };
}
let holds = 0;
const LOCK = "\\.lock$";
/** Whatever lies beside the lock while one that is left over is replaced, but for the file that replaces it. */
const BESIDE_LOCK = "\\.lock\\.(removal|[0-9a-f]{16})$";

test("of two starts that find the same dead lock, one takes it away, and no lock of another", async () => {
  npm("echo began >> npm.log; sleep 0.5; echo ended >> npm.log; mkdir -p node_modules");
  writeFileSync(lockFile(), "9999999 1");
  const log = (): string => (existsSync(join(clone, "npm.log")) ? readFileSync(join(clone, "npm.log"), "utf8") : "");
  const held = heldAt(LOCK);
  const first = run(held.env);
  await expect.poll(held.isHeld).toBe(true);
  let said = "";
  const second = run({}, (text) => (said += text));
  await expect.poll(() => said + log()).toMatch(/waiting for it|began/);
  held.goOn();
  expect([(await first).code, (await second).code]).toEqual([0, 0]);
  expect(log()).toBe("began\nended\n");
});

test("nor where a start was killed just then, and two find what it left", async () => {
  npm("echo began >> npm.log; sleep 0.5; echo ended >> npm.log; mkdir -p node_modules");
  writeFileSync(lockFile(), "9999999 1");
  const log = (): string => (existsSync(join(clone, "npm.log")) ? readFileSync(join(clone, "npm.log"), "utf8") : "");
  const killed = heldAt(LOCK);
  const kill = new AbortController();
  const third = run(killed.env, undefined, { signal: kill.signal });
  await expect.poll(killed.isHeld).toBe(true);
  kill.abort();
  await third;
  const [one, other] = [heldAt(BESIDE_LOCK), heldAt(LOCK)];
  const first = run(one.env);
  await expect.poll(one.isHeld).toBe(true);
  let said = "";
  const second = run(other.env, (text) => (said += text));
  await expect.poll(() => other.isHeld() || said.includes("waiting for it")).toBe(true);
  one.goOn();
  await expect.poll(log).toContain("began");
  other.goOn();
  expect([(await first).code, (await second).code]).toEqual([0, 0]);
  expect(log()).toBe("began\nended\n");
  expect(readdirSync(clone).filter((name) => name.startsWith(".edgeplane-install"))).toEqual([]);
});

test("what an install that was broken off has left is thrown away; packages that are there otherwise stay", async () => {
  const log = () => readFileSync(join(clone, "npm.log"), "utf8").split("\n").filter(Boolean);
  mkdirSync(join(clone, "node_modules"));
  npm("echo $1 >> npm.log; exit 1");
  await run();
  await run();
  npm("echo $1 >> npm.log; kill -9 $PPID");
  await run();
  expect(log()).toEqual(["install", "install", "install"]);
  npm("echo $1 >> npm.log; mkdir -p node_modules");
  expect((await run()).code).toBe(0);
  expect((await run()).code).toBe(0);
  expect(log().slice(3)).toEqual(["ci"]);
});

test("a signal ends the install, and the start after it", async () => {
  npm("trap 'sleep 0.3; echo left >> npm.log; exit 1' TERM; echo began >> npm.log; while :; do sleep 0.1; done");
  const ended = run();
  await expect.poll(() => existsSync(join(clone, "npm.log"))).toBe(true);
  process.kill(Number(readFileSync(lockFile(), "utf8").split(" ")[0]), "SIGTERM");
  expect((await ended).code).toBe(143);
  expect(readFileSync(join(clone, "npm.log"), "utf8")).toBe("began\nleft\n");
});

test("an install that fails ends with one line, and the next start tries again", async () => {
  npm("exit 1");
  const { code, text } = await run();
  expect(code).toBe(1);
  expect(text).toContain("npm could not install the dependencies");
  npm("mkdir -p node_modules");
  expect((await run()).code).toBe(0);
});

test("what a script prints is its own, also where npm ran first; and its processes talk to each other without a proxy", async () => {
  expect((await run({ NO_PROXY: "intranet" })).stdout).toBe('"intranet,127.0.0.1,localhost,::1"\n');
});
