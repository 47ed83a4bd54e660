import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EdgeplaneKeysSchema } from "../environments/edgeplane-keys.ts";
import { findModels } from "../models/find-models.ts";
import type { ProcessOptions } from "../model-process.ts";
import { commandOf, environmentOf } from "../process-surroundings.ts";
import { chooseIsolation } from "./choose.ts";
import { interpreterPaths } from "./interpreter-paths.ts";
import { jailOf } from "./model-jail.ts";
import { bubblewrapArgs } from "./namespaces.ts";
import { noIsolation } from "./none.ts";
import { setprivArgs, uidsBy } from "./other-user.ts";
import { runnableHere } from "./trusted.ts";
import { IsolationProblem } from "./types.ts";
import type { Isolation } from "./types.ts";

let root = "";
let path = process.env["PATH"];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "edgeplane-isolation-"));
  path = process.env["PATH"];
});
afterEach(() => {
  process.env["PATH"] = path;
  rmSync(root, { recursive: true, force: true });
});

const ALL_USERS = "         0          0 4294967295\n";
const CONTAINER = "         0     100000      65536\n";

test("a model has the same user at every start, and no other model of the pool has it", () => {
  const models = Array.from({ length: 500 }, (_, index) => `local/m${index}`);
  for (const [map, first, last] of [
    [ALL_USERS, 1_000_000_000, 2 ** 31],
    [CONTAINER, 20_000, 60_000],
  ] as const) {
    const uids = models.map(uidsBy(map));
    expect(new Set(uids).size).toBe(models.length);
    expect(Math.min(...uids)).toBeGreaterThanOrEqual(first);
    expect(Math.max(...uids)).toBeLessThan(last);
    expect(uidsBy(map)("local/m0")).toBe(uids[0]);
  }
  expect(setprivArgs(7, [])).toContain("--clear-groups");
  expect(setprivArgs(7, [44, 109])).toContain("--groups=44,109");
});

const request = () => ({
  model: "local/m",
  modelDir: join(root, "models", "m"),
  notesDir: join(root, "models", "m", ".edgeplane"),
  fixed: [],
  homeDir: join(root, "state", "homes", "local_m"),
  scratchDir: join(root, "state", "scratch", "m-1"),
  readable: [join(root, "state", "environments", "one")],
  mayRead: [join(root, "data"), join(root, "none")],
  network: true,
});

/** What a list of bwrap's arguments does to a path, in order. */
function doneTo(args: readonly string[], target: string): string[] {
  return args.flatMap((arg, index) => (arg === target && args[index - 1] !== "--chdir" ? [args[index - 1] ?? ""] : []));
}

test("a view has what the model needs, and covers what is the pool's", () => {
  const hidden = [join(root, "state"), join(root, "data", "token"), join(root, "data", "gone")];
  for (const folder of ["data/keys", "state/environments/one", "models/m"])
    mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, "data", "token"), "secret");
  const { modelDir, notesDir, scratchDir, homeDir, readable } = request();
  const args = bubblewrapArgs(request(), join(scratchDir, "tmp"), hidden);
  expect(doneTo(args, join(root, "data", "token"))).toEqual(["/dev/null"]);
  expect(args).not.toContain(join(root, "data", "gone"));
  expect(args).not.toContain(join(root, "none"));
  // Nothing that it may read leads to the state folder: there is nothing to cover.
  expect(args).not.toContain(join(root, "state"));
  expect(doneTo(args, join(root, "data"))).toEqual(["--ro-bind", join(root, "data")]);
  for (const own of [modelDir, homeDir, scratchDir]) expect(doneTo(args, own)).toEqual(["--bind", own]);
  expect(doneTo(args, notesDir)).toEqual(["--ro-bind-try", notesDir]);
  expect(args).not.toContain("--unshare-net");
  expect(bubblewrapArgs({ ...request(), network: false }, "/t", hidden)).toContain("--unshare-net");
  // Without a capability, and with the folders above it as mounts, a model can't get at a fixed file by another way.
  const fixed = [join(modelDir, "a", "b", "w.bin"), join(modelDir, "w.bin")];
  const withFixed = bubblewrapArgs({ ...request(), fixed }, "/t", hidden);
  expect(withFixed.join(" ")).toContain("--cap-drop ALL");
  const mounts = [join(modelDir, "a"), join(modelDir, "a", "b"), ...fixed].flatMap((path) => [path, path]);
  expect(withFixed.filter((arg) => mounts.includes(arg))).toEqual(mounts);
  for (const path of fixed) expect(doneTo(withFixed, path)).toEqual(["--ro-bind", path]);
  // Shared with all models, a folder above the pool's is covered, and what the model needs of it laid over that.
  const wide = bubblewrapArgs({ ...request(), mayRead: [root] }, "/t", hidden);
  expect(doneTo(wide, join(root, "state"))).toEqual(["--tmpfs"]);
  const [environment = ""] = readable;
  expect(wide.lastIndexOf(environment)).toBeGreaterThan(wide.indexOf("--tmpfs"));
});

test("an environment's interpreter is found without being asked, and all links to it", async () => {
  const [python = ""] = (await interpreterPaths("/usr/bin/env")).slice(0, 1);
  expect(python).toBe("/usr/bin/env");
  mkdirSync(join(root, "env", "bin"), { recursive: true });
  writeFileSync(join(root, "env", "pyvenv.cfg"), "");
  symlinkSync(join(root, "link"), join(root, "env", "bin", "python"));
  symlinkSync("/bin/false", join(root, "link"));
  const found = await interpreterPaths(join(root, "env", "bin", "python"));
  expect(found).toEqual(expect.arrayContaining([join(root, "env"), join(root, "link"), "/bin/false"]));
  // What lies in the folder comes with it: `bwrap` can't mount over a link there.
  expect(found).not.toContain(join(root, "env", "bin", "python"));
});

test("a host that can't isolate says why, and is refused where that is demanded", async () => {
  process.env["PATH"] = root;
  const options = { hidden: [], childPath: root };
  const chosen = await chooseIsolation({ ...options, setting: "auto" });
  expect([chosen.kind, chosen.why]).toEqual(["none", expect.stringContaining("bubblewrap is not installed")]);
  await expect(chooseIsolation({ ...options, setting: "required" })).rejects.toThrow("--isolation required: ");
  await expect(chooseIsolation({ ...options, setting: "namespaces" })).rejects.toThrow("bubblewrap is not installed");
  expect((await chooseIsolation({ ...options, setting: "off" })).why).toContain("turned off");
  writeFileSync(join(root, "bwrap"), "#!/bin/sh\necho no permission >&2\nexit 1\n", { mode: 0o755 });
  expect((await chooseIsolation({ ...options, setting: "auto" })).why).toContain("bwrap fails here: no permission");
});

test("models of owners who aren't trusted are not served where nothing isolates them", async () => {
  for (const name of ["a", "b"]) {
    mkdirSync(join(root, "models", name), { recursive: true });
    writeFileSync(join(root, "models", name, "cog.yaml"), "");
  }
  const found = await findModels(join(root, "models"), [], { id: "p", stateDir: join(root, "state") });
  const [first] = found.models;
  if (first !== undefined) first.manifest.owner = "guest";
  const here = runnableHere(found, noIsolation("no bwrap"), ["local"]);
  expect(here.models.map(({ manifest }) => manifest.name)).toEqual(["b"]);
  expect(here.problems).toEqual([
    { folder: "guest/a", problem: expect.stringMatching(/isolated.*no bwrap/) as string },
  ]);
  expect(runnableHere(found, noIsolation("no bwrap"), ["guest", "local"])).toEqual(found);
  expect(runnableHere(found, { kind: "user", why: null }, ["local"])).toEqual(found);
  expect(EdgeplaneKeysSchema.parse({}).network).toBe(true);
});

test("a model that can't be isolated runs all the same only where that is allowed", async () => {
  const closed: Isolation = {
    kind: "user",
    why: null,
    jail: () => Promise.reject(new IsolationProblem("its folder is closed")),
  };
  const warnings: string[] = [];
  const jail = (isolation: Isolation, isRequired: boolean) =>
    jailOf(
      { isolation, isRequired, shared: [], homesDir: root },
      { ...request(), python: "/bin/false", childPath: root, env: {} },
      (warning) => warnings.push(warning),
    );
  expect(await jail(closed, false)).toBeNull();
  expect(warnings).toEqual(["it is not isolated: its folder is closed"]);
  await expect(jail(closed, true)).rejects.toThrow("its folder is closed");
  expect(await jail(noIsolation("why"), false)).toBeNull();
});

test("what a model says to the loader of programs reaches its interpreter, and not what isolates it", () => {
  const jail = { command: ["/usr/bin/setpriv", "--"], env: { HOME: "/home" }, owner: null, tempDir: "/t" };
  const env = { LD_PRELOAD: "/m/evil.so", LD_LIBRARY_PATH: "/m/lib", NAME: "value", HOME: "/root" };
  const options = { python: "/usr/bin/python3", childModule: "m", env, modelDir: "/m", childPath: "/c" };
  const isolated = {
    ...options,
    jail,
    slots: 1,
    scratchDir: "/s",
    cudaVisibleDevices: "",
  } as unknown as ProcessOptions;
  expect(commandOf(isolated)).toEqual([
    ...["/usr/bin/setpriv", "--", "/usr/bin/env", "LD_PRELOAD=/m/evil.so", "LD_LIBRARY_PATH=/m/lib"],
    ...["/usr/bin/python3", "-u", "-m", "m"],
  ]);
  const origin = { scratchDir: "/s", fileMark: "mark", isConfined: true };
  expect(environmentOf(isolated, origin)).toMatchObject({ NAME: "value", HOME: "/home" });
  expect(environmentOf(isolated, origin)).not.toHaveProperty("LD_PRELOAD");
  const plain = { ...isolated, jail: null };
  expect(environmentOf(plain, origin)).toMatchObject({ LD_PRELOAD: "/m/evil.so", HOME: "/root" });
  vi.stubEnv("EDGEPLANE_ADMIN_KEY", "ep_admin");
  expect(environmentOf(plain, origin)["EDGEPLANE_ADMIN_KEY"]).toBeUndefined();
  vi.unstubAllEnvs();
  expect(commandOf(plain)).toEqual(["/usr/bin/python3", "-u", "-m", "m"]);
});

/** Puts a link in the place of `closed` once somebody looked at it, as a model could. Says what its target got. */
const SWAPPING = `
import os, runpy, sys
program, folder, secret = sys.argv[1:]
closed = os.path.join(folder, "closed")
swapped = []
def swapping(look):
    def call(path, *args, **kwargs):
        found = look(path, *args, **kwargs)
        if os.path.basename(str(path)) == "closed" and not swapped:
            swapped.append(True)
            os.unlink(closed)
            os.symlink(secret, closed)
        return found
    return call
os.lstat, os.stat = swapping(os.lstat), swapping(os.stat)
sys.argv = [program, "12345", folder]
try:
    runpy.run_path(program, run_name="__main__")
except SystemExit:
    pass
print(swapped, os.listxattr(secret))
`;

test("a model's user is granted its own folder, and nothing that a link put there meanwhile leads to", () => {
  const folder = join(root, "model");
  mkdirSync(folder);
  for (const path of [join(root, "secret"), join(folder, "closed")]) writeFileSync(path, "", { mode: 0o600 });
  const program = join(import.meta.dirname, "../../python/edgeplane_child/grant.py");
  const said = execFileSync("python3", ["-I", "-c", SWAPPING, program, folder, join(root, "secret")]);
  expect(String(said)).toBe("[True] []\n");
});
