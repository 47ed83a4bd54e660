import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { collectEnvironments } from "./collect.ts";
import { makeSpaceFor } from "./keeping.ts";
import { noteFileOf, useEnvironment } from "./store.ts";
import type { Used } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-store-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const python = execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();
const store = fileURLToPath(new URL("./store.ts", import.meta.url));
const command = fileURLToPath(new URL("./command.ts", import.meta.url));
let roots = 0;

function newRoot(): string {
  const root = join(folder, `root-${(roots += 1)}`);
  mkdirSync(root);
  return root;
}

/** What a build leaves: a Python that runs. */
function fill(dir: string): void {
  mkdirSync(join(dir, "bin"), { recursive: true });
  symlinkSync(python, join(dir, "bin", "python"));
}

let built = 0;

function use(root: string, name = "env"): Promise<Used> {
  return useEnvironment(root, name, {
    onWait() {},
    async build(dir) {
      built += 1;
      fill(dir);
      return "3.11";
    },
    async onBuilt() {},
  });
}

const buildsIn = (root: string): string[] => readdirSync(root).filter((entry) => /\.[0-9a-f]{8}$/.test(entry));

type Other = { process: ChildProcess; line(): Promise<string> };

/** Another pool's process, which takes `env` of the root; `build` is the code of what fills `dir`. */
function otherPool(root: string, build: string, before = ""): Other {
  const code = `${before}
    const { useEnvironment } = await import(${JSON.stringify(store)});
    const { runCommand } = await import(${JSON.stringify(command)});
    const { mkdirSync, symlinkSync } = await import("node:fs");
    const fill = (dir) => {
      mkdirSync(dir + "/bin", { recursive: true });
      symlinkSync(${JSON.stringify(python)}, dir + "/bin/python");
    };
    await useEnvironment(${JSON.stringify(root)}, "env", {
      onWait: () => console.log("waits"),
      async build(dir) { ${build}; return "3.11"; },
      async onBuilt() { console.log("built"); },
    });
    console.log("uses");
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return { process: child, line: async () => String((await lines.next()).value) };
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

/** Whether a process still runs; one that nobody has waited for yet doesn't. */
function runs(pid: string): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

test.runIf(process.platform === "linux")(
  "what installs ends with its pool that is killed, and the next one builds anew",
  async () => {
    const root = newRoot();
    // As pip does, which runs the build of a package as a process of its own.
    const installs = "echo $$; sleep 600 & echo $!; wait";
    const other = otherPool(root, `fill(dir); await runCommand("sh", ["-c", "${installs}"], { onLine: console.log })`);
    const [installer, its] = [await other.line(), await other.line()];
    expect([runs(installer), runs(its)]).toEqual([true, true]);
    await kill(other.process);
    await expect.poll(() => [runs(installer), runs(its)]).toEqual([false, false]);
    expect(buildsIn(root)).toHaveLength(1);
    const [left = ""] = buildsIn(root);
    const used = await use(root);
    expect(buildsIn(root)).toEqual([expect.not.stringContaining(left)]);
    expect(existsSync(used.dir)).toBe(true);
    used.release();
  },
);

test("a pool that is killed while it puts the link in place leaves nothing that is taken for whole", async () => {
  const root = newRoot();
  const die = `import promises from "node:fs/promises";
    import { syncBuiltinESMExports } from "node:module";
    promises.rename = () => process.kill(process.pid, "SIGKILL");
    syncBuiltinESMExports();`;
  const leave = async (): Promise<void> => void (await once(otherPool(root, "fill(dir)", die).process, "exit"));
  await leave();
  expect(buildsIn(root)).toHaveLength(1);
  expect(readdirSync(root)).toContain(`${buildsIn(root)[0]}.link`);
  const before = built;
  (await use(root)).release();
  expect(built).toBe(before + 1);
  const [build = ""] = buildsIn(root);
  expect(new Set(readdirSync(root))).toEqual(new Set(["env", build, `${build}.use`, "env.lock"]));
  rmSync(join(root, "env"));
  await leave();
  await collectEnvironments(root, Infinity);
  expect(readdirSync(root)).toEqual(["env.lock"]);
});

test("of two pools that want the same at once, one builds and both use it", async () => {
  const root = newRoot();
  const slowly = `fill(dir); setInterval(() => {}, 1000); await new Promise((done) => process.once("SIGUSR2", done))`;
  const first = otherPool(root, `console.log("begins"); ${slowly}`);
  expect(await first.line()).toBe("begins");
  const second = otherPool(root, `console.log("begins"); fill(dir)`);
  expect(await second.line()).toBe("waits");
  first.process.kill("SIGUSR2");
  expect([await first.line(), await first.line(), await second.line()]).toEqual(["built", "uses", "uses"]);
  expect(buildsIn(root)).toHaveLength(1);
});

test("the budget takes what was used longest ago, and nothing that a process uses", async () => {
  const root = newRoot();
  const other = otherPool(root, "fill(dir)");
  expect([await other.line(), await other.line()]).toEqual(["built", "uses"]);
  const sizes = new Map<string, number>();
  for (const [name, usedAt] of [
    ["old", 2000],
    ["older", 1000],
    ["new", 3000],
  ] as const) {
    const { dir, note, release } = await use(root, name);
    release();
    sizes.set(name, note.sizeBytes);
    utimesSync(noteFileOf(dir), usedAt, usedAt);
  }
  const one = sizes.get("old") ?? 0;
  expect(one).toBeGreaterThan(0);
  expect(await collectEnvironments(root, 3 * one)).toEqual({
    removed: 1,
    freedBytes: one,
    keptBytes: 3 * one,
    problem: null,
  });
  const names = (): string[] =>
    buildsIn(root)
      .map((entry) => entry.replace(/\..*/, ""))
      .toSorted();
  expect(names()).toEqual(["env", "new", "old"]);
  expect((await collectEnvironments(root, 0)).keptBytes).toBe(one);
  expect(names()).toEqual(["env"]);
  await kill(other.process);
  await collectEnvironments(root, 0);
  expect(names()).toEqual([]);
});

test("one that doesn't run any more is built beside, and goes when its last user does", async () => {
  const root = newRoot();
  const broken = await use(root);
  rmSync(join(broken.dir, "bin/python"));
  const whole = await use(root);
  expect(whole.dir).not.toBe(broken.dir);
  await collectEnvironments(root, Infinity);
  expect(buildsIn(root)).toHaveLength(2);
  broken.release();
  await collectEnvironments(root, Infinity);
  expect(existsSync(broken.dir)).toBe(false);
  const again = await use(root);
  expect(again.dir).toBe(whole.dir);
  for (const used of [whole, again]) used.release();
});

test("on a disk that runs short so much is removed as is needed; on another disk nothing", async () => {
  const root = newRoot();
  for (const name of ["one", "two", "three"]) (await use(root, name)).release();
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  await makeSpaceFor("/proc", root, Infinity, log);
  expect(buildsIn(root)).toHaveLength(3);
  await makeSpaceFor(folder, root, 1, log);
  expect(buildsIn(root)).toHaveLength(2);
  await makeSpaceFor(folder, root, Infinity, log);
  expect(buildsIn(root)).toEqual([]);
  expect(lines.map((line) => line.replace(/,.*/, ""))).toEqual([
    "removed 1 environments that nobody uses",
    "removed 2 environments that nobody uses",
  ]);
});
