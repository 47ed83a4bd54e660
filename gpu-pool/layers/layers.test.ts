import { randomBytes } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { sha256 } from "../../test/pushed-files.ts";
import { startStoredEnvironments } from "../../test/stored-environments.ts";
import type { StoredEnvironments } from "../../test/stored-environments.ts";
import { BundleSchema, bundleVersion, canonicalJson } from "../../src/contract/bundle.ts";
import type { LayerWish } from "../runtime/environments/layer-key.ts";
import { createHttpClient } from "../transport/http-client.ts";
import { EnvironmentLayers } from "./environment-layers.ts";
import type { LayersOptions } from "./environment-layers.ts";
import { NotPortable, planLayer } from "./plan-layer.ts";

const root = mkdtempSync(join(tmpdir(), "edgeplane-layers-"));
let folders = 0;
const newFolder = (name = "env"): string => {
  const dir = join(root, `${name}-${(folders += 1)}`);
  mkdirSync(dir);
  return dir;
};
const SITE = "lib/python3.11/site-packages";
const large = randomBytes(3 * 1024 * 1024);

type Tree = Record<string, string | Buffer>;
function write(dir: string, files: Tree): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), content, { mode: path.startsWith("bin/") ? 0o755 : 0o644 });
  }
}

/** As a build leaves it: with what every bare environment has, too. */
function built(more: Tree = {}): string {
  const dir = newFolder();
  write(dir, {
    "pyvenv.cfg": `home = /usr/bin\ncommand = python -m venv ${dir}\n`,
    "edgeplane.json": "{}",
    "bin/activate": `VIRTUAL_ENV=${dir}\n`,
    "bin/tool": `#!${dir}/bin/python\nprint("é")\n`,
    [`${SITE}/pkg/__init__.py`]: "A = 1\n",
    [`${SITE}/pkg/__pycache__/__init__.cpython-311.pyc`]: Buffer.from([0, 1, 2, 3, ...Buffer.from(dir)]),
    [`${SITE}/pkg/empty`]: "",
    [`${SITE}/pkg/large.so`]: large,
    [`${SITE}/other/large-again.so`]: large,
    ...more,
  });
  symlinkSync("/usr/bin/python3", join(dir, "bin/python"));
  symlinkSync("lib", join(dir, "lib64"));
  symlinkSync("large.so", join(dir, SITE, "pkg/liblarge.so.1"));
  return dir;
}

function bare(): string {
  const dir = newFolder("bare");
  write(dir, { "pyvenv.cfg": "home = /elsewhere\n", "bin/activate": "own" });
  symlinkSync("/elsewhere/python3", join(dir, "bin/python"));
  return dir;
}

const about = { python: "3.11.4", platform: "linux-x86_64", libc: "glibc 2.36", cuda: null };
const wishFor = (key: string, owner = "acme"): LayerWish => ({ owner, key: key.padEnd(64, "0"), about });
const offerOf = (dir: string, buildMs = 60_000) => ({
  dir,
  builtAtMs: Date.now() + 5000,
  buildMs,
  hold: () => () => {},
});
const quick = { pause: { firstMs: 1, capMs: 2 }, lookAgainMs: 5 };

let edge: Awaited<ReturnType<typeof startStoredEnvironments>>;
let stored: StoredEnvironments;
beforeAll(async () => {
  edge = await startStoredEnvironments();
});
beforeEach(() => {
  stored = edge.stored;
  stored.chunks.clear();
  stored.layers.clear();
  Object.assign(stored, { mayStore: true, busy: 0, refusal: null, isStalled: false, onStored: () => {} });
  for (const list of [stored.problems, stored.asked]) list.length = 0;
});
afterAll(() => {
  edge.close();
  rmSync(root, { recursive: true, force: true });
});

/** A host of its own, unless it is given another's folder. */
function host(more: Partial<LayersOptions> = {}): EnvironmentLayers {
  const http = createHttpClient(edge.url, {});
  onTestFinished(() => http.close());
  return new EnvironmentLayers({
    http,
    log: pino({ level: "silent" }),
    environmentsDir: newFolder("host"),
    budgetBytes: Infinity,
    leastFreeBytes: 0,
    isBusy: () => false,
    isShort: () => false,
    waits: quick,
    ...more,
  });
}
async function store(dir: string, wish: LayerWish, by = host()): Promise<EnvironmentLayers> {
  by.offer(wish, offerOf(dir));
  await by.settled();
  return by;
}
async function unpack(wish: LayerWish, by = host(), lines: string[] = []): Promise<string> {
  const found = await by.find(wish);
  if (found === null) throw new Error("none is stored");
  const dir = bare();
  await found.unpack(dir, (line) => lines.push(line));
  return dir;
}
const chunkPuts = (): string[] => stored.asked.filter((asked) => /^PUT .*\/chunks\//.test(asked));

describe("an environment that another host built", () => {
  test("is the same elsewhere, but for the path of its folder and what is each host's own", async () => {
    const [from, wish] = [built(), wishFor("a")];
    for (const [path, time] of [
      ["pkg/__init__.py", 1_500_000_000],
      ["pkg/large.so", 1_600_000_000],
    ] as const)
      utimesSync(join(from, SITE, path), time, time);
    await store(from, wish);
    const to = await unpack(wish);
    const read = (path: string): Buffer => readFileSync(join(to, path));
    expect(read("bin/tool").toString()).toBe(`#!${to}/bin/python\nprint("é")\n`);
    expect(statSync(join(to, "bin/tool")).mode & 0o777).toBe(0o755);
    for (const path of ["pkg/large.so", "other/large-again.so"])
      expect(read(`${SITE}/${path}`).equals(large)).toBe(true);
    expect(statSync(join(to, SITE, "pkg/large.so")).mtimeMs).toBe(1_600_000_000_000);
    const same = ["pkg/__init__.py", "pkg/__pycache__/__init__.cpython-311.pyc", "pkg/empty"].map(
      (path) => `${SITE}/${path}`,
    );
    for (const path of same) {
      expect([path, read(path)]).toEqual([path, readFileSync(join(from, path))]);
      // What Python compiled holds while its source has the time that it names.
      expect(Math.floor(statSync(join(to, path)).mtimeMs / 1000)).toBe(
        Math.floor(statSync(join(from, path)).mtimeMs / 1000),
      );
    }
    expect(readlinkSync(join(to, SITE, "pkg/liblarge.so.1"))).toBe("large.so");
    expect(read("pyvenv.cfg").toString()).toBe("home = /elsewhere\n");
    expect(read("bin/activate").toString()).toBe("own");
    expect(readlinkSync(join(to, "bin/python"))).toBe("/elsewhere/python3");
  });

  test("leaves nothing else on the disk", async () => {
    const wish = wishFor("b");
    await store(built(), wish);
    const environmentsDir = newFolder("host");
    await unpack(wish, host({ environmentsDir }));
    const [own = ""] = readdirSync(join(environmentsDir, ".layers"));
    expect(readdirSync(join(environmentsDir, ".layers", own))).toEqual(["locks"]);
  });

  test("shares what it has in common with others: only the rest is sent", async () => {
    await store(built(), wishFor("c"));
    const before = chunkPuts().length;
    await store(built({ [`${SITE}/more.py`]: "B = 2\n" }), wishFor("d"));
    // The shared pack of small packages, what was compiled in another folder, and the index.
    expect([before, chunkPuts().length - before]).toEqual([4, 3]);
    expect(readFileSync(join(await unpack(wishFor("d")), SITE, "more.py"), "utf8")).toBe("B = 2\n");
  });

  test("is another owner's only if that one's pools stored it", async () => {
    await store(built(), wishFor("e"));
    expect(await host().find(wishFor("e", "other"))).toBeNull();
  });
});

describe("what can't be moved", () => {
  const plan = async (dir: string, builtAtMs = Date.now() + 5000) =>
    planLayer({ dir, builtAtMs, rest: () => Promise.resolve() });

  test.each([
    ["a program that holds its path", (dir: string) => write(dir, { "bin/x": Buffer.from(`\0${dir}`) }), "no text"],
    [
      "a large file that does",
      (dir: string) => write(dir, { x: Buffer.concat([large, Buffer.from(dir)]) }),
      "too large",
    ],
    [
      "one where it lies across two pieces",
      (dir: string) => write(dir, { x: Buffer.concat([Buffer.alloc(2 ** 20 - 3), Buffer.from(dir), large]) }),
      "too large",
    ],
    ["a link that leads out", (dir: string) => symlinkSync("../../x", join(dir, "x")), "leads out"],
    ["an absolute link", (dir: string) => symlinkSync("/etc/hostname", join(dir, "x")), "leads out"],
    ["a text with the placeholder", (dir: string) => write(dir, { x: `${dir} @@EDGEPLANE-ENVIRONMENT@@` }), "holds @@"],
  ])("%s", async (_what, change, why) => {
    const dir = built();
    change(dir);
    await expect(plan(dir)).rejects.toThrow(why);
    const by = await store(dir, wishFor("f"));
    expect([by.state.stored, by.state.problem]).toEqual([0, expect.stringContaining(why)]);
    expect([...stored.layers]).toEqual([]);
  });

  test("is what was changed since it was built; what Python compiled since is left out", async () => {
    const dir = built();
    const builtAtMs = Date.now() - 60_000;
    await expect(plan(dir, builtAtMs)).rejects.toThrow("was changed since it was built");
    await expect(plan(dir, builtAtMs)).rejects.toBeInstanceOf(NotPortable);
    const later = statSync(join(dir, SITE, "pkg/large.so")).mtimeMs + 60_000;
    const { bundle } = await plan(dir, later);
    write(dir, { [`${SITE}/pkg/__pycache__/new.cpython-311.pyc`]: "x" });
    utimesSync(join(dir, SITE, "pkg/__pycache__/new.cpython-311.pyc"), later / 1000 + 60, later / 1000 + 60);
    expect((await plan(dir, later)).bundle).toEqual(bundle);
  });
});

describe("a chunk that is broken", () => {
  test("is told, the environment is built, and stored anew", async () => {
    const [dir, wish] = [built(), wishFor("9")];
    await store(dir, wish);
    const [chunk = ""] = [...stored.chunks].find(([, { length }]) => length === large.length) ?? [];
    stored.chunks.set(chunk, Buffer.alloc(large.length));
    const [by, lines]: [EnvironmentLayers, string[]] = [host(), []];
    await expect(unpack(wish, by, lines)).rejects.toThrow(chunk);
    expect(stored.problems).toEqual([chunk]);
    expect(lines).toContain("a stored environment is broken, and was taken away");
    expect(stored.layers.size).toBe(0);
    await store(dir, wish, by);
    expect(readFileSync(join(await unpack(wish), SITE, "pkg/large.so")).equals(large)).toBe(true);
  });

  test("or is gone, is the same; so is a list that is another", async () => {
    const wish = wishFor("8");
    await store(built(), wish);
    const [chunk = ""] = [...stored.chunks].find(([, { length }]) => length === large.length) ?? [];
    stored.chunks.delete(chunk);
    await expect(unpack(wish)).rejects.toThrow("can't be had");
    const list = stored.layers.get(`acme/${wish.key}`)?.list ?? "";
    stored.chunks.set(list, Buffer.from('{"format":1,"files":[{"path":"x","mode":420,"bytes":0,"chunks":[]}]}'));
    await expect(unpack(wish)).rejects.toThrow("another than was stored");
    expect(stored.problems).toEqual([chunk, list]);
  });
});

test("an index that leads out of the environment puts nothing there", async () => {
  const wish = wishFor("7");
  await store(built(), wish);
  const layer = stored.layers.get(`acme/${wish.key}`);
  if (layer === undefined) throw new Error("not stored");
  const bundle = BundleSchema.parse(JSON.parse(String(stored.chunks.get(layer.list))));
  const index = bundle.files.find(({ path }) => path === "index.json");
  if (index === undefined) throw new Error("no index");
  const good = String(stored.chunks.get(index.chunks[0] ?? ""));
  for (const [from, to] of [
    [`"path":"bin/tool"`, `"path":"../out"`],
    [`"target":"large.so"`, `"target":"../../../../../out"`],
    [`"target":"large.so"`, `"target":"/etc/passwd"`],
    [`"from":"pack-00000"`, `"from":"nothing"`],
    [`"at":0`, `"at":99999999`],
  ] as const) {
    const text = Buffer.from(good.replace(from, to));
    expect(text.toString()).not.toBe(good);
    Object.assign(index, { bytes: text.length, chunks: [sha256(text)] });
    stored.chunks.set(sha256(text), text);
    layer.list = await bundleVersion(bundle);
    stored.chunks.set(layer.list, Buffer.from(canonicalJson(bundle)));
    await expect(unpack(wish)).rejects.toThrow(/its index/);
  }
  expect(readdirSync(root)).not.toContain("out");
});

describe("storing", () => {
  test("goes on after the edge was away, and where another life of the pool left off", async () => {
    const [dir, wish] = [built(), wishFor("6")];
    const first = host();
    // It ends after its second chunk.
    stored.onStored = () => stored.chunks.size === 2 && first.stop();
    await store(dir, wish, first);
    expect([stored.chunks.size, stored.layers.size]).toEqual([2, 0]);
    const kept = new Set(stored.chunks.keys());
    stored.onStored = () => {};
    stored.busy = 2;
    stored.asked.length = 0;
    const second = await store(dir, wish);
    expect(second.state).toMatchObject({ stored: 1, problem: null, waiting: 0, progress: null });
    for (const sha of kept) expect(chunkPuts().join()).not.toContain(sha);
  });

  test("is done once, by one pool of a host, and not at all where the token may not or the owner has no room", async () => {
    const [dir, wish] = [built(), wishFor("5")];
    stored.mayStore = false;
    const reader = await store(dir, wish);
    reader.offer(wishFor("51"), offerOf(dir));
    await reader.settled();
    expect([stored.asked.length, reader.state.mayStore]).toEqual([1, false]);
    stored.mayStore = true;
    stored.refusal = 403;
    expect((await store(dir, wish)).state.problem).toContain("403");
    stored.refusal = null;
    const environmentsDir = newFolder("host");
    stored.asked.length = 0;
    const pools = [host({ environmentsDir }), host({ environmentsDir })];
    for (const pool of pools) for (const _ of [1, 2]) pool.offer(wish, offerOf(dir));
    await Promise.all(pools.map(async (pool) => pool.settled()));
    expect(pools.reduce((sum, { state }) => sum + state.stored, 0)).toBe(1);
    expect(new Set(chunkPuts()).size).toBe(chunkPuts().length);
  });

  test("waits while the host runs short, and ends with the pool", async () => {
    let isShort = true;
    const by = host({ isShort: () => isShort });
    by.offer(wishFor("4"), offerOf(built()));
    await expect.poll(() => by.state.progress).toBe("reading its files");
    expect(chunkPuts()).toEqual([]);
    isShort = false;
    await by.settled();
    expect(by.state.stored).toBe(1);
    isShort = true;
    by.offer(wishFor("41"), offerOf(built()));
    await expect.poll(() => by.state.progress).toBe("reading its files");
    by.stop();
    await by.settled();
    expect(by.state).toMatchObject({ stored: 1, problem: null });
  });

  test("keeps the environment meanwhile, and leaves one that is going", async () => {
    const dir = built();
    const by = host();
    let held = 0;
    const hold = () => {
      held += 1;
      return () => void (held -= 1);
    };
    stored.onStored = () => expect(held).toBe(1);
    by.offer(wishFor("3"), { ...offerOf(dir), hold });
    await by.settled();
    expect([held, by.state.stored]).toEqual([0, 1]);
    by.offer(wishFor("31"), { ...offerOf(dir), hold: () => null });
    await by.settled();
    expect(by.state.stored).toBe(1);
  });
});

test("what comes more slowly than it could be built is given up", async () => {
  const wish = wishFor("2");
  const by = host();
  by.offer(wish, offerOf(built(), 1));
  await by.settled();
  stored.isStalled = true;
  const impatient = host({ waits: { ...quick, judgeAfterMs: 50, patienceMs: 10 } });
  await expect(unpack(wish, impatient)).rejects.toThrow("to build it is faster");
});

test("an edge that knows nothing of it, or is away, has none", async () => {
  const http = createHttpClient(new URL("http://127.0.0.1:9"), {});
  expect(await host({ http }).find(wishFor("1"))).toBeNull();
  expect(await host({ http: createHttpClient(new URL("/older", edge.url), {}) }).find(wishFor("1"))).toBeNull();
});
