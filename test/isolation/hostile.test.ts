/** A hostile model beside another one: what it gets where nothing isolates it, and where something does. */
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createHash, randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { spawnSync } from "node:child_process";
import { afterAll, describe, expect, test } from "vitest";
import * as z from "zod";
import type { Json, ModelRef } from "../../src/contract/prediction.ts";
import { startFakeEdge } from "../integration/pool/fake-edge.ts";
import { hasBegun, modelPids } from "../integration/pool/fixture.ts";
import { hostile } from "./hostile-model.ts";
import { models } from "../integration/pool/models.ts";
import { makeHome, refOf, startPool } from "../integration/pool/pool-process.ts";
import { PushedFiles } from "../pushed-files.ts";
import { weightsModel } from "./weights-model.ts";

const SECRET = "s3cret-s3cret";
const checkout = fileURLToPath(new URL("../..", import.meta.url));

/** Another user must be able to run it. */
const python = ["/usr/bin/python3", "/usr/local/bin/python3"].find((path) => existsSync(path));
const canChangeUser = process.getuid?.() === 0 && python !== undefined;
if (!canChangeUser) {
  const why = python === undefined ? "there is no Python in /usr/bin and /usr/local/bin" : "only root may do it";
  process.stderr.write(`LEFT OUT: models as users of their own: ${why}\n`);
  if (process.env["CI"] === "true" && process.getuid?.() === 0) throw new Error(`in CI nothing is left out: ${why}`);
}

/** The pool's program where other users can reach the code of model processes: a copy, if they can't reach this one. */
const { main, removeCopy } = reachablePool();
afterAll(() => removeCopy());

function reachablePool(): { main: string; removeCopy(): void } {
  if (isOpenToOthers(join(checkout, "gpu-pool", "python")))
    return { main: join(checkout, "gpu-pool", "main.ts"), removeCopy() {} };
  const copy = mkdtempSync(join(tmpdir(), "edgeplane-reachable-"));
  for (const folder of ["gpu-pool", "src/contract"])
    cpSync(join(checkout, folder), join(copy, folder), { recursive: true });
  cpSync(join(checkout, "package.json"), join(copy, "package.json"));
  symlinkSync(join(checkout, "node_modules"), join(copy, "node_modules"));
  spawnSync("chmod", ["-R", "a+rX", join(copy, "gpu-pool")]);
  chmodSync(copy, 0o755);
  return { main: join(copy, "gpu-pool", "main.ts"), removeCopy: () => rmSync(copy, { recursive: true, force: true }) };
}

function isOpenToOthers(path: string): boolean {
  return path === dirname(path) || ((statSync(path).mode & 0o001) !== 0 && isOpenToOthers(dirname(path)));
}

const GUARDED = ["environment", "memory", "descriptors", "signal", "trace", "secret", "overwrite"];

/** The attempts that ended with an error. */
function refusalsOf(got: Json): string[] {
  return Object.entries(z.record(z.string(), z.unknown()).parse(got)).flatMap(([attempt, came]) =>
    typeof came === "string" && /^\w+Error$/.test(came) ? [attempt] : [],
  );
}

async function start(isolation: string, pushed?: PushedFiles) {
  const edge = await startFakeEdge(pushed === undefined ? {} : { pushed });
  const home = makeHome({ hostile, victim: models.single });
  chmodSync(home.root, 0o755);
  const secrets = join(home.root, "secrets");
  mkdirSync(secrets, { mode: 0o700 });
  const tokenFile = join(secrets, "token");
  writeFileSync(tokenFile, edge.token, { mode: 0o600 });
  // What the model puts before the system's programs is called by nobody outside of its process.
  const programs = join(home.models, "hostile", "bin");
  mkdirSync(programs);
  for (const name of ["bwrap", "setpriv", "env"])
    writeFileSync(join(programs, name), `#!/bin/sh\ntouch ${home.root}/escaped\nexit 1\n`, { mode: 0o755 });
  appendFileSync(
    join(home.models, "hostile", "cog.yaml"),
    `environment:\n  - PATH=${programs}:/usr/local/bin:/usr/bin:/bin\n`,
  );
  const spool = join(home.state, "spool");
  mkdirSync(spool, { recursive: true, mode: 0o700 });
  writeFileSync(join(spool, "a.bad"), SECRET, { mode: 0o600 });
  const cache = join(home.root, "cache");
  const flags = [
    "--isolation",
    isolation,
    "--token-file",
    tokenFile,
    "--cancel-grace-ms",
    "300",
    "--bundles-dir",
    cache,
  ];
  const env = {
    EDGEPLANE_POOL_TOKEN: "",
    EDGEPLANE_PYTHON: isolation === "user" ? (python ?? "") : (process.env["EDGEPLANE_PYTHON"] ?? "python3"),
  };
  const pool = startPool(home, edge.url, edge.token, flags, env, main);
  await edge
    .until(() => edge.hellos.length > 0, 60_000, "the pool's hello")
    .catch((error: unknown) => {
      throw new Error(`${String(error)}\n${pool.output()}`);
    });
  const run = async (model: string | ModelRef, input: Json): Promise<Json> => {
    const tracked = edge.submit(typeof model === "string" ? await refOf(home, model) : model, input);
    await edge.until(() => tracked.terminal !== null);
    return tracked.terminal?.type === "succeeded"
      ? (tracked.terminal.output ?? null)
      : { failed: JSON.stringify(tracked.terminal) };
  };
  return {
    edge,
    home,
    pool,
    tokenFile,
    spool,
    cache,
    run,
    attack: (folder: string) => run("hostile", { do: "attack", pid: pool.process.pid ?? 0, secret: tokenFile, folder }),
    async [Symbol.asyncDispose]() {
      await pool.kill("SIGKILL");
      await edge.close();
      home.remove();
    },
  };
}

test("where nothing isolates it, a model gets all that the pool's user may have", async () => {
  await using fixture = await start("off");
  const { edge, tokenFile, spool, run } = fixture;
  expect(edge.hellos[0]?.isolation).toBe("none");
  expect(fixture.pool.output()).toContain("isolation: none");
  const got = await fixture.attack(spool);
  expect(refusalsOf(got)).toEqual([]);
  expect(got).toMatchObject({
    descriptors: "listed",
    signal: null,
    trace: "traced",
    secret: edge.token,
    overwrite: "written",
    folder: expect.arrayContaining([SECRET]) as string[],
  });
  expect(JSON.stringify(got)).toContain("EDGEPLANE_PYTHON");
  const url = await run("hostile", { do: "give", secret: tokenFile });
  expect(edge.blobs.get(String(url).replace(`${edge.url}/files/`, ""))?.toString()).toContain(edge.token);
});

/** Only root may run models as other users. */
const ways = [
  ["namespaces", true],
  ["user", canChangeUser],
] as const;

describe.each(ways)("isolated by %s", (kind, isPossible) => {
  test.skipIf(!isPossible)("a model gets at nothing of the pool and of other models", async () => {
    await using fixture = await start(kind);
    const { edge, home, tokenFile, spool, run } = fixture;
    expect(edge.hellos[0]?.isolation).toBe(kind);
    await run("victim", { do: "fine" });
    const scratch = join(home.state, "scratch");
    mkdirSync(join(scratch, "other"), { mode: 0o700 });
    writeFileSync(join(scratch, "other", "input.json"), SECRET, { mode: 0o600 });
    for (const folder of [spool, scratch, join(home.state, "homes"), join(home.root, "secrets")]) {
      const got = await fixture.attack(folder);
      expect(JSON.stringify(got)).not.toContain(SECRET);
      expect(JSON.stringify(got)).not.toContain(edge.token);
      expect(refusalsOf(got)).toEqual(expect.arrayContaining(GUARDED));
    }
    expect(readFileSync(tokenFile, "utf8")).toBe(edge.token);
    for (const how of ["give", "link"]) {
      const given = await run("hostile", { do: how, secret: tokenFile });
      expect(JSON.stringify(given)).toContain("could not be uploaded");
    }
    expect([...edge.blobs]).toEqual([]);
    expect(existsSync(join(home.root, "escaped"))).toBe(false);
    expect(existsSync(tokenFile)).toBe(true);
  });

  test.skipIf(!isPossible)("it reads its input, keeps what it writes, and gives files back", async () => {
    await using fixture = await start(kind);
    const { edge, home, run } = fixture;
    edge.blobs.set("uploaded", Buffer.from("hello"));
    for (const file of [`${edge.url}/files/uploaded`, "data:text/plain,hello", `${edge.url}/files/uploaded`]) {
      const url = await run("hostile", { do: "work", file });
      expect(edge.blobs.get(String(url).replace(`${edge.url}/files/`, ""))?.toString(), JSON.stringify(url)).toBe(
        "HELLO",
      );
    }
    const own = await run("hostile", { do: "give own" });
    expect(edge.blobs.get(String(own).replace(`${edge.url}/files/`, ""))?.toString()).toBe("weights");
    expect(readFileSync(join(home.models, "hostile", "kept.txt"), "utf8")).toBe("keptkeptkept");
    expect(readFileSync(join(home.models, "hostile", "weights.bin"), "utf8")).toBe("weights");
    expect(readFileSync(join(home.state, "homes", "local_hostile", "cached"), "utf8")).toBe("cachedcachedcached");
    const large = `large 10${" ".repeat(9_000_000)}`;
    edge.blobs.set("input", Buffer.from(JSON.stringify({ do: large })));
    const tracked = edge.submit(await refOf(home, "victim"), null, { inputBlob: "/pool/v1/blobs/input" });
    const output = await run("victim", { do: "large 9000000" });
    await edge.until(() => tracked.terminal !== null);
    expect(tracked.terminal).toMatchObject({ type: "succeeded", output: "x".repeat(10) });
    expect(output).toBeNull();
  });

  test.skipIf(!isPossible)("a process that hangs or dies is ended and told as any other", async () => {
    await using fixture = await start(kind);
    const { edge, home, pool } = fixture;
    const dies = edge.submit(await refOf(home, "victim"), { do: "die" });
    await edge.until(() => dies.terminal !== null);
    expect(JSON.stringify(dies.terminal)).toContain("it was ended by SIGKILL");
    expect(await fixture.run("victim", { do: "fine" })).toBe("fine");
    // Of its processes only the one that lives has temporary files still.
    const scratch = join(home.state, "scratch");
    const withFiles = (): string[] => readdirSync(scratch).filter((name) => existsSync(join(scratch, name, "tmp")));
    await expect.poll(withFiles).toHaveLength(1);
    expect(readdirSync(scratch).filter((name) => name.startsWith("local_victim")).length).toBeGreaterThan(1);
    const hangs = edge.submit(await refOf(home, "victim"), { do: "hold 60" });
    await edge.until(() => hasBegun(hangs));
    const [pid = 0] = await modelPids(pool);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    edge.cancel(hangs);
    await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
    const reply = await fetch(`http://127.0.0.1:${await pool.port()}/status`);
    expect(await reply.json()).toMatchObject({ isolation: { kind, why: null } });
    await pool.kill("SIGTERM");
  });
});

const ATTACKS = [
  "write",
  "truncate",
  "mode",
  "link",
  "unmount",
  "remount",
  "unshare",
  "cached",
  "cached anew",
  "cache",
];

describe.each(ways)("isolated by %s", (kind, isPossible) => {
  test.skipIf(!isPossible)("a pushed model spoils neither the weights that it shares nor the cache", async () => {
    const weights = randomBytes(1024 * 1024 + 1);
    const sha256 = createHash("sha256").update(weights).digest("hex");
    const pushed = new PushedFiles();
    const attacker = await pushed.push(weightsModel(weights));
    const victim = await pushed.push(weightsModel(weights, { "other.txt": "" }));
    await using fixture = await start(kind, pushed);
    const { cache, edge, run } = fixture;
    const content = join(cache, "contents", sha256.slice(0, 2), sha256);
    const attack = async (): Promise<Json[]> =>
      z.array(z.json()).parse(await run(attacker, { do: "attack", cache, content }));
    expect(await run(victim, { do: "read" })).toBe(sha256);
    const sealedMs = statSync(content).mtimeMs;
    const first = await attack();
    expect(first.map(refusalsOf)).toEqual([ATTACKS]);
    // With a user of its own the folder is its own: it may put other files in the place of its links.
    const displaced = await run(attacker, { do: "displace" });
    expect(refusalsOf(displaced)).toEqual(
      kind === "namespaces" ? ["folder", "replace", "rename", "delete"] : ["delete"],
    );
    // What it moved, its next process would find elsewhere.
    expect(JSON.stringify(await run(attacker, { do: "die" }))).toContain("failed");
    expect(await attack()).not.toEqual([]);
    const found = readFileSync(content);
    expect(createHash("sha256").update(found).digest("hex")).toBe(sha256);
    expect(statSync(content).mode & 0o777).toBe(0o444);
    expect(existsSync(join(cache, "contents", "new"))).toBe(false);
    expect(readdirSync(dirname(content)).filter((name) => name.startsWith(sha256))).toEqual([sha256]);
    // Untouched, so that nobody fetches it anew.
    expect(statSync(content).mtimeMs).toBe(sealedMs);
    expect(await run(victim, { do: "read" })).toBe(sha256);
    expect(pushed.asked.filter((asked) => asked.startsWith(sha256))).toHaveLength(1);
    expect(edge.violations).toEqual([]);
  });
});

/** A pool with a model that needs a secret, at an edge that has these. */
async function startNeedy(secrets: Record<string, string>) {
  const edge = await startFakeEdge();
  edge.behaviour.secrets = secrets;
  const home = makeHome({ hostile, victim: models.single });
  appendFileSync(join(home.models, "hostile", "cog.yaml"), "edgeplane:\n  secrets: [HF_TOKEN]\n");
  const pool = startPool(home, edge.url, edge.token, ["--log-level", "trace"]);
  await edge.until(() => edge.hellos.length > 0, 60_000, "the pool's hello");
  return {
    home,
    pool,
    async run(name: string, input: Json) {
      const tracked = edge.submit(await refOf(home, name), input);
      await edge.until(() => tracked.terminal !== null);
      return tracked.terminal;
    },
    async [Symbol.asyncDispose]() {
      await pool.kill("SIGKILL");
      await edge.close();
      home.remove();
    },
  };
}

test("a model whose secret isn't set is not started, and says which", async () => {
  await using fixture = await startNeedy({ OTHER: "other" });
  expect(JSON.stringify(await fixture.run("hostile", { do: "tell" }))).toContain("its secrets are missing: HF_TOKEN");
});

test("a secret that its owner set reaches the model that names it, and nothing that is written down", async () => {
  await using fixture = await startNeedy({ HF_TOKEN: SECRET });
  const { home, pool, run } = fixture;
  expect(await run("hostile", { do: "tell" })).toMatchObject({ output: { secret: SECRET } });
  expect(await run("victim", { do: "environ HF_TOKEN" })).toMatchObject({ output: "None" });
  const port = await pool.port();
  const pages = ["status", "models", "metrics"].map(async (page) =>
    (await fetch(`http://127.0.0.1:${port}/${page}`)).text(),
  );
  expect((await Promise.all(pages)).join("")).not.toContain(SECRET);
  await pool.kill("SIGTERM");
  expect(pool.output()).not.toContain(SECRET);
  expect(spawnSync("grep", ["-rl", SECRET, home.state], { encoding: "utf8" }).stdout).toBe("");
});
