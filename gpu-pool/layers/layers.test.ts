import { Hash } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync, statSync, symlinkSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { HARDWARE, large, LayerHosts, offerOf, quick, SITE, wishFor, write } from "../../test/layer-hosts.ts";
import type { Tree } from "../../test/layer-hosts.ts";
import { sha256 } from "../../test/pushed-files.ts";
import { BundleSchema, bundleVersion, canonicalJson } from "../../src/contract/bundle.ts";
import { Contents } from "../bundles/contents.ts";
import type { LayerWish } from "../runtime/environments/layer-key.ts";
import { createHttpClient } from "../transport/http-client.ts";
import type { EnvironmentLayers } from "./environment-layers.ts";
import { NotPortable, planLayer } from "./plan-layer.ts";
import { unpackLayer } from "./unpack-layer.ts";

const world = new LayerHosts();
const filesBelow = (dir: string, part: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => path.includes(part));

describe("an environment that another host built", () => {
  test("is the same elsewhere, but for the path of its folder and what is each host's own", async () => {
    const [from, wish] = [world.built(), wishFor("a")];
    for (const [path, time] of [
      ["pkg/__init__.py", 1_500_000_000],
      ["pkg/large.so", 1_600_000_000],
    ] as const)
      utimesSync(join(from, SITE, path), time, time);
    await world.store(from, wish);
    const to = await world.unpack(wish);
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

  test("holds the path of its folder as it is, whatever that is called", async () => {
    const wish = wishFor("dollars");
    await world.store(world.built(), wish);
    const to = join(world.newFolder("odd"), "a $$ and $& b");
    await world.unpack(wish, world.host(), [], to);
    expect(readFileSync(join(to, "bin/tool"), "utf8")).toBe(`#!${to}/bin/python\nprint("é")\n`);
  });

  test("leaves nothing else on the disk", async () => {
    const wish = wishFor("b");
    await world.store(world.built(), wish);
    const environmentsDir = world.newFolder("host");
    await world.unpack(wish, world.host({ environmentsDir }));
    const [own = ""] = readdirSync(join(environmentsDir, ".layers"));
    const root = join(environmentsDir, ".layers", own);
    expect(readdirSync(root)).toEqual(["coming", "locks"]);
    expect(readdirSync(join(root, "coming"))).toEqual([]);
  });

  test("shares what it has in common with others: only the rest is sent", async () => {
    await world.store(world.built(), wishFor("c"));
    const before = world.chunkPuts().length;
    await world.store(world.built({ [`${SITE}/more.py`]: "B = 2\n" }), wishFor("d"));
    // The shared pack of small packages, what was compiled in another folder, and the index.
    expect([before, world.chunkPuts().length - before]).toEqual([4, 3]);
    expect(readFileSync(join(await world.unpack(wishFor("d")), SITE, "more.py"), "utf8")).toBe("B = 2\n");
  });

  test("is another owner's only if that one's pools stored it", async () => {
    await world.store(world.built(), wishFor("e"));
    expect(await world.host().find(wishFor("e", "other"))).toBeNull();
  });
});

describe("an environment with packages that were compiled", () => {
  const wheel = (tag: string): Tree => ({ [`${SITE}/fast-1.0.dist-info/WHEEL`]: `Wheel-Version: 1.0\nTag: ${tag}\n` });
  const isFor = async (key: string, has: typeof HARDWARE) =>
    (await world.host().find(wishFor(key, "acme", has))) !== null;

  test("on its host is for hosts that have as much, and the same GPUs", async () => {
    await world.store(world.built(wheel("cp311-cp311-linux_x86_64")), wishFor("c1"));
    expect(await isFor("c1", HARDWARE)).toBe(true);
    expect(await isFor("c1", { ...HARDWARE, cpu: ["avx2", "avx512f", "fma"] })).toBe(true);
    expect(await isFor("c1", { ...HARDWARE, cpu: ["avx2"] })).toBe(false);
    expect(await isFor("c1", { ...HARDWARE, gpus: ["A100"] })).toBe(false);
  });

  test("by their authors is for every host", async () => {
    await world.store(world.built(wheel("cp311-cp311-manylinux_2_17_x86_64")), wishFor("c2"));
    expect(await isFor("c2", { cpu: [], gpus: [] })).toBe(true);
  });
});

test("what a pool that ended had of an environment is not fetched again", async () => {
  const wish = wishFor("c3");
  await world.store(world.built(), wish);
  const environmentsDir = world.newFolder("host");
  const first = world.host({ environmentsDir });
  world.stored.isStalled = true;
  const unpacking = world.unpack(wish, first);
  const fetched = (): string[] => world.stored.asked.filter((asked) => /^GET .*\/chunks\//.test(asked));
  // The list, and all of its chunks: of these one does not come.
  const { chunks } = world.stored;
  await expect.poll(() => new Set(fetched()).size).toBe(chunks.size);
  await expect.poll(() => filesBelow(join(environmentsDir, ".layers"), "/contents/").length).toBe(chunks.size - 2);
  first.stop();
  await expect(unpacking).rejects.toThrow();
  world.stored.isStalled = false;
  world.stored.asked.length = 0;
  await world.unpack(wish, world.host({ environmentsDir }));
  expect(fetched()).toHaveLength(2);
});

test("is hashed a piece at a time, so that the pool's leases are kept meanwhile", async () => {
  const most = 1024 * 1024;
  const dir = world.built(
    Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`${SITE}/pkg/m${at}.py`, Buffer.alloc(most, `${at} `)])),
  );
  let longest = 0;
  const { update } = Hash.prototype;
  const hashing = vi.spyOn(Hash.prototype, "update").mockImplementation(function (this: Hash, ...args) {
    longest = Math.max(longest, args[0].length);
    return update.apply(this, args);
  });
  onTestFinished(() => hashing.mockRestore());
  const { bundle } = await planLayer({ dir, builtAtMs: Date.now() + 5000, rest: () => Promise.resolve() });
  expect(bundle.files.some(({ bytes }) => bytes > 10 * most)).toBe(true);
  expect(longest).toBe(most);
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
    const dir = world.built();
    change(dir);
    await expect(plan(dir)).rejects.toThrow(why);
    const by = await world.store(dir, wishFor("f"));
    expect([by.state.stored, by.state.problem]).toEqual([0, expect.stringContaining(why)]);
    expect([...world.stored.layers]).toEqual([]);
  });

  test("is what was changed since it was built; what Python compiled since is left out", async () => {
    const dir = world.built();
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
    const [dir, wish] = [world.built(), wishFor("9")];
    await world.store(dir, wish);
    const [chunk = ""] = [...world.stored.chunks].find(([, { length }]) => length === large.length) ?? [];
    world.stored.chunks.set(chunk, Buffer.alloc(large.length));
    const [by, lines]: [EnvironmentLayers, string[]] = [world.host(), []];
    await expect(world.unpack(wish, by, lines)).rejects.toThrow(chunk);
    expect(world.stored.problems).toEqual([chunk]);
    expect(lines).toContain("a stored environment is broken, and was taken away");
    expect(world.stored.layers.size).toBe(0);
    await world.store(dir, wish, by);
    expect(readFileSync(join(await world.unpack(wish), SITE, "pkg/large.so")).equals(large)).toBe(true);
  });

  test("or is gone, is the same; so is a list that is another", async () => {
    const wish = wishFor("8");
    await world.store(world.built(), wish);
    const [chunk = ""] = [...world.stored.chunks].find(([, { length }]) => length === large.length) ?? [];
    world.stored.chunks.delete(chunk);
    await expect(world.unpack(wish)).rejects.toThrow("can't be had");
    const list = world.stored.layers.get(`acme/${wish.key}`)?.list ?? "";
    world.stored.chunks.set(list, Buffer.from('{"format":1,"files":[{"path":"x","mode":420,"bytes":0,"chunks":[]}]}'));
    await expect(world.unpack(wish)).rejects.toThrow("another than was stored");
    expect(world.stored.problems).toEqual([chunk, list]);
  });
});

type Entry = Record<string, unknown>;
type RawIndex = { files: [Entry, ...Entry[]]; links: [Entry, ...Entry[]] };

/** Stores an environment of which the index is another. */
async function storeWith(wish: LayerWish, change: (index: RawIndex) => void): Promise<void> {
  await world.store(world.built(), wish);
  const layer = world.stored.layers.get(`acme/${wish.key}`);
  if (layer === undefined) throw new Error("not stored");
  const bundle = BundleSchema.parse(JSON.parse(String(world.stored.chunks.get(layer.list))));
  const listed = bundle.files.find(({ path }) => path === "index.json");
  if (listed === undefined) throw new Error("no index");
  const index = JSON.parse(String(world.stored.chunks.get(listed.chunks[0] ?? ""))) as RawIndex;
  const good = JSON.stringify(index);
  change(index);
  const text = Buffer.from(JSON.stringify(index));
  expect(text.toString()).not.toBe(good);
  Object.assign(listed, { bytes: text.length, chunks: [sha256(text)] });
  world.stored.chunks.set(sha256(text), text);
  layer.list = await bundleVersion(bundle);
  world.stored.chunks.set(layer.list, Buffer.from(canonicalJson(bundle)));
}

describe("an index that leads out of the environment, or names what is each host's own, puts nothing there:", () => {
  test.each<[string, (index: RawIndex) => void]>([
    ["a path that goes back", ({ files }) => (files[0]["path"] = "../out")],
    ["a link that goes back", ({ links }) => (links[0]["target"] = "../../../../../out")],
    ["an absolute link", ({ links }) => (links[0]["target"] = "/etc/passwd")],
    ["a file that it lacks", ({ files }) => (files[0]["from"] = "nothing")],
    ["what lies behind a file's end", ({ files }) => (files[0]["at"] = 99_999_999)],
    ["the interpreter", ({ files }) => (files[0]["path"] = "bin/python3.11")],
    ["a path twice", ({ files }) => files.push({ ...files[0] })],
    [
      "a link below a link, which lies less deep than it says",
      ({ links }) => links.push({ path: "a/b/c", target: "../.." }, { path: "a/b/c/out", target: "../../../out" }),
    ],
    [
      "a file below a link",
      ({ files, links }) => {
        links.push({ path: "a/b", target: ".." });
        files[0]["path"] = "a/b/x";
      },
    ],
    ["a file below the link that every environment has", ({ files }) => (files[0]["path"] = "lib64/x")],
    [
      "a link that leads through a link",
      ({ links }) => links.push({ path: "a", target: "." }, { path: "b", target: "a/../out" }),
    ],
    [
      "the same bytes again and again",
      ({ files }) => {
        const [most] = files.toSorted((a, b) => Number(b["bytes"]) - Number(a["bytes"]));
        for (const name of ["x", "y", "z"]) files.push({ ...most, path: name });
      },
    ],
  ])("%s", async (_what, change) => {
    const wish = wishFor("7");
    await storeWith(wish, change);
    await expect(world.unpack(wish)).rejects.toThrow(/its index/);
    expect(readdirSync(world.root)).not.toContain("out");
  });
});

test("a pack that would not fit into memory is not read", async () => {
  const contents = new Contents(world.newFolder("contents"));
  const [path, bytes] = ["index.json", 2 ** 27];
  const bundle = { format: 1, files: [{ path, mode: 420, bytes, chunks: ["a".repeat(64), "b".repeat(64)] }] } as const;
  await expect(unpackLayer(world.newFolder(), BundleSchema.parse(bundle), contents)).rejects.toThrow("too large");
});

test("an environment in which a link leads through another is none for others", async () => {
  const dir = world.built();
  symlinkSync("pkg", join(dir, SITE, "alias"));
  symlinkSync("alias/large.so", join(dir, SITE, "through.so"));
  const by = await world.store(dir, wishFor("f"));
  expect(by.state.problem).toBe(`the link ${SITE}/through.so leads through another link`);
});

test("what comes more slowly than it could be built is given up", async () => {
  const wish = wishFor("2");
  const by = world.host();
  by.offer(wish, offerOf(world.built(), 1));
  await by.settled();
  world.stored.isStalled = true;
  const impatient = world.host({ waits: { ...quick, judgeAfterMs: 50, patienceMs: 10 } });
  await expect(world.unpack(wish, impatient)).rejects.toThrow("to build it is faster");
});

test("what stops to come is given up, though the rest of it would be here soon by what came before", async () => {
  const wish = wishFor("6");
  const by = world.host();
  by.offer(wish, offerOf(world.built(), 80_000_000));
  await by.settled();
  world.stored.isStalled = true;
  const impatient = world.host({ waits: { ...quick, judgeAfterMs: 50, patienceMs: 10 } });
  await expect(world.unpack(wish, impatient)).rejects.toThrow("nothing came for");
});

test("what this host has no room for is not fetched: it may be built, and nobody is told of a broken chunk", async () => {
  const wish = wishFor("c4");
  await world.store(world.built(), wish);
  world.stored.asked.length = 0;
  await expect(world.unpack(wish, world.host({ budgetBytes: 1000 }))).rejects.toThrow(
    "than --environments-bytes (1000) has room for",
  );
  await expect(world.unpack(wish, world.host({ leastFreeBytes: 2 ** 60 }))).rejects.toThrow("bytes free");
  expect(world.stored.problems).toEqual([]);
  // The list of files alone.
  expect(world.stored.asked.filter((asked) => /^GET .*\/chunks\//.test(asked))).toHaveLength(2);
});

test("an edge that knows nothing of it, or is away, has none", async () => {
  const http = createHttpClient(new URL("http://127.0.0.1:9"), {});
  expect(await world.host({ http }).find(wishFor("1"))).toBeNull();
  expect(await world.host({ http: createHttpClient(new URL("/older", world.url), {}) }).find(wishFor("1"))).toBeNull();
});
