import { mkdtempSync, rmSync } from "node:fs";
import { readFile, stat, utimes, writeFile, chmod, link, mkdir, readdir } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { CHUNK_BYTES } from "../../src/contract/bundle.ts";
import { pack, PushedFiles } from "../../test/pushed-files.ts";
import type { Fault } from "../../test/pushed-files.ts";
import { canMountDisks, smallDisk } from "../../test/small-disk.ts";
import { createHttpClient } from "../transport/http-client.ts";
import type { HttpClient } from "../transport/http-client.ts";
import { ContentFetcher } from "./content-fetcher.ts";
import { Contents, contentOf } from "./contents.ts";
import type { Content } from "./contents.ts";
import { EdgeFiles } from "./edge-files.ts";
import { FetchProblem, NoSpace, SourceAway } from "./problems.ts";

const REF = { owner: "local", name: "pushed", version: "0".repeat(64) };
const MANY = 1024 ** 4;
let [pushed, root] = [new PushedFiles(), ""];
let [http, close]: [HttpClient | null, () => void] = [null, () => {}];

beforeEach(async () => {
  pushed = new PushedFiles();
  root = mkdtempSync(join(tmpdir(), "edgeplane-contents-"));
  const server = await pushed.listen();
  http = createHttpClient(server.url, {});
  close = () => {
    http?.close();
    server.close();
    rmSync(root, { recursive: true, force: true });
  };
});
afterEach(() => close());

function contentsOf(files: Record<string, string | Buffer>): Content[] {
  const { bundle, chunks } = pack(files);
  for (const [sha, bytes] of chunks) pushed.chunks.set(sha, bytes);
  return bundle.files.flatMap((file) => contentOf(file) ?? []);
}

/** A pool of the host; its `got` counts bytes. */
function pool(folder = root, budgetBytes = MANY, leastFreeBytes = 0) {
  const contents = new Contents(folder);
  const fetcher = new ContentFetcher({ contents, budgetBytes, leastFreeBytes, pause: { firstMs: 1, capMs: 2 } });
  const edge = new EdgeFiles(http ?? createHttpClient(new URL("http://127.0.0.1:1"), {}), "none");
  const counter = { got: 0 };
  const ended = new AbortController();
  return {
    contents,
    counter,
    ended,
    ensure: (wanted: readonly Content[]) =>
      fetcher.ensure(wanted, {
        open: async (sha, offset, signal) => edge.chunk(REF, sha, offset, signal),
        onBytes: (bytes) => (counter.got += bytes),
        signal: ended.signal,
      }),
  };
}

const only = ([content]: Content[]): Content => {
  if (content === undefined) throw new Error("no content");
  return content;
};
const large = (): Buffer => randomBytes(3 * 1024 * 1024);

test.each<[string, Fault[]]>([
  ["wrong twice", ["wrong", "wrong"]],
  ["short, then cut", ["short", "cut"]],
  ["gone for a moment", ["gone"]],
  ["longer than it should be", ["long"]],
  ["from a server that is away", ["away", "away", "away"]],
])("what comes %s is fetched again, and is right in the end", async (_, faults) => {
  const bytes = large();
  const [content] = [only(contentsOf({ weights: bytes }))];
  pushed.faults.set(content.id, [...faults]);
  const one = pool();
  await one.ensure([content]);
  expect((await readFile(one.contents.pathOf(content))).equals(bytes)).toBe(true);
  expect(one.counter.got).toBe(bytes.length);
  expect(await readdir(join(root, "partial"))).toEqual([]);
});

test("what broke off goes on where it was", async () => {
  const content = only(contentsOf({ weights: large() }));
  pushed.faults.set(content.id, ["cut"]);
  await pool().ensure([content]);
  const offsets = pushed.asked.map((asked) => Number(asked.split(" ")[1]));
  expect(offsets).toEqual([0, 1.5 * 1024 * 1024]);
});

test.each<[Fault, RegExp]>([
  ["wrong", /of 3145728 bytes has the SHA-256 [0-9a-f]{64}$/],
  ["long", /is longer than that/],
  ["gone", /can't be had: .* answered 404/],
])("what stays %s is a problem that says so, and nothing of it is kept as whole", async (fault, words) => {
  const content = only(contentsOf({ weights: large() }));
  pushed.faults.set(content.id, Array<Fault>(50).fill(fault));
  const one = pool();
  await expect(one.ensure([content])).rejects.toSatisfy(
    (error) => error instanceof FetchProblem && words.test(error.message),
  );
  expect(await one.contents.has(content)).toBe(false);
});

test("a server that stays away is nobody's fault", async () => {
  const content = only(contentsOf({ weights: large() }));
  pushed.faults.set(content.id, Array<Fault>(50).fill("away"));
  await expect(pool().ensure([content])).rejects.toBeInstanceOf(SourceAway);
});

test("two pools of a host fetch a large file once, and two hosts twice", async () => {
  const content = only(contentsOf({ weights: large() }));
  const [one, other] = [pool(), pool()];
  await Promise.all([one.ensure([content]), other.ensure([content])]);
  expect(pushed.asked).toHaveLength(1);
  expect([one.counter.got, other.counter.got]).toEqual([content.bytes, content.bytes]);
  const elsewhere = join(root, "other-host");
  await pool(elsewhere).ensure([content]);
  expect(pushed.asked).toHaveLength(2);
});

/** What a pool leaves that is killed while the file comes. */
async function killedAfter(content: Content, begun: Buffer): Promise<void> {
  const path = new Contents(root).partialOf(content);
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, begun);
}

test.each([
  ["half of it", 0.5, 1],
  ["all but its name", 1, 0],
])("a file of one chunk of which a killed pool had %s goes on there", async (_, part, asked) => {
  const bytes = large();
  const content = only(contentsOf({ weights: bytes }));
  await killedAfter(content, bytes.subarray(0, part * bytes.length));
  const one = pool();
  await one.ensure([content]);
  expect(pushed.asked).toEqual(asked === 0 ? [] : [`${content.id} ${part * bytes.length}`]);
  expect((await readFile(one.contents.pathOf(content))).equals(bytes)).toBe(true);
  expect(one.counter.got).toBe(bytes.length);
});

test.each([
  ["is other than it was written", (bytes: Buffer) => Buffer.alloc(bytes.length / 2)],
  ["is too much", (bytes: Buffer) => Buffer.concat([bytes, bytes])],
])("what a host without power left of a file, and that %s, comes anew", async (_, left) => {
  const bytes = large();
  const content = only(contentsOf({ weights: bytes }));
  await killedAfter(content, left(bytes));
  const one = pool();
  await one.ensure([content]);
  expect(pushed.asked.at(-1)).toBe(`${content.id} 0`);
  expect((await readFile(one.contents.pathOf(content))).equals(bytes)).toBe(true);
  expect(one.counter.got).toBe(bytes.length);
});

test("a file of several chunks is one file; of what a process that was ended had, only the rest is fetched", async () => {
  const bytes = Buffer.concat([Buffer.alloc(CHUNK_BYTES, "a"), randomBytes(1000)]);
  const content = only(contentsOf({ weights: bytes }));
  const [first = "", last = ""] = content.chunks;
  pushed.faults.set(last, Array<Fault>(50).fill("wrong"));
  await expect(pool().ensure([content])).rejects.toBeInstanceOf(FetchProblem);
  pushed.faults.clear();
  pushed.asked.length = 0;
  const again = pool();
  await again.ensure([content]);
  expect(pushed.asked).toEqual([`${last} 0`]);
  expect(again.counter.got).toBe(bytes.length);
  expect((await readFile(again.contents.pathOf(content))).equals(bytes)).toBe(true);

  // What is noted and not so (the host lost its power) is fetched anew.
  const partial = again.contents.partialOf(content);
  rmSync(again.contents.pathOf(content));
  await writeFile(partial, Buffer.alloc(CHUNK_BYTES, "b"));
  await writeFile(`${partial}.json`, "[0]");
  pushed.asked.length = 0;
  await again.ensure([content]);
  expect(pushed.asked.toSorted()).toEqual([`${first} 0`, `${last} 0`].toSorted());
});

test("what somebody wrote to is fetched anew; what was only touched is not", async () => {
  const [one, content] = [pool(), only(contentsOf({ weights: large() }))];
  await one.ensure([content]);
  const path = one.contents.pathOf(content);
  expect((await stat(path)).mode & 0o777).toBe(0o444);
  await utimes(path, new Date(), new Date());
  await one.ensure([content]);
  expect(pushed.asked).toHaveLength(1);
  await chmod(path, 0o644);
  await writeFile(path, Buffer.alloc(content.bytes, "x"));
  await one.ensure([content]);
  expect(pushed.asked).toHaveLength(2);
});

test("the budget takes away what was used longest ago, and nothing that a model's folder has", async () => {
  const files = ["a", "b", "c", "d"].map((name) => only(contentsOf({ [name]: large() })));
  const [a, b, c, d] = files as [Content, Content, Content, Content];
  const one = pool(root, 3 * a.bytes);
  for (const [index, content] of [a, b, c].entries()) {
    await one.ensure([content]);
    const seconds = 2_000_000_000 + index;
    await utimes(one.contents.pathOf(content), seconds, (await stat(one.contents.pathOf(content))).mtime);
  }
  await link(one.contents.pathOf(a), join(root, "a-model's"));
  await one.ensure([d]);
  const there = await Promise.all(files.map(async (content) => one.contents.has(content)));
  expect(there).toEqual([true, false, true, true]);
  await expect(pool(root, a.bytes - 1).ensure([b])).rejects.toBeInstanceOf(NoSpace);
  // What has no room whatever goes takes nothing with it.
  expect([await one.contents.has(c), await one.contents.has(d)]).toEqual([true, true]);
});

test("what came in part of a model that went counts, and goes first; what a pool fetches stays", async () => {
  const files = ["a", "b", "c", "d"].map((name) => only(contentsOf({ [name]: large() })));
  const [a, b, c, d] = files as [Content, Content, Content, Content];
  const one = pool(root, 3 * a.bytes);
  await one.ensure([a]);
  // Its pool was killed when it had almost all of it.
  await killedAfter(b, randomBytes(2 * 1024 * 1024));
  let open = (): void => {};
  pushed.gates.set(c.id, new Promise((resolve) => (open = resolve)));
  const fetching = one.ensure([c]);
  await expect.poll(() => pushed.asked.some((asked) => asked.startsWith(c.id))).toBe(true);
  expect(await readdir(join(root, "partial"))).toEqual([b.id, c.id].toSorted());
  // What is fetched is the older one of the two.
  await utimes(one.contents.partialOf(b), 4_000_000_000, 4_000_000_000);
  await pool(root, 3 * a.bytes + 1024 * 1024).ensure([d]);
  open();
  await fetching;
  expect(await readdir(join(root, "partial"))).toEqual([]);
  rmSync(one.contents.pathOf(d));
  await killedAfter(d, (pushed.chunks.get(d.id) ?? Buffer.alloc(0)).subarray(0, 2 * 1024 * 1024));
  await one.ensure([d]);
  expect(pushed.asked.at(-1)).toBe(`${d.id} ${2 * 1024 * 1024}`);
  expect(await Promise.all(files.map(async (content) => one.contents.has(content)))).toEqual([true, false, true, true]);
});

test("what came in part goes after a day without a change, but not while a pool puts it in place", async () => {
  const content = only(contentsOf({ a: large() }));
  await killedAfter(content, randomBytes(1024 * 1024));
  const one = pool();
  // As it is for a moment, when it is whole and has not its name yet.
  await utimes(one.contents.partialOf(content), new Date(), new Date("2001-01-01T00:00:00Z"));
  await one.ensure([only(contentsOf({ b: "x" }))]);
  expect(await readdir(join(root, "partial"))).toEqual([content.id]);
  const tomorrow = vi.spyOn(Date, "now").mockReturnValue(Date.now() + 25 * 3_600_000);
  try {
    await one.ensure([only(contentsOf({ c: "y" }))]);
  } finally {
    tomorrow.mockRestore();
  }
  expect(await readdir(join(root, "partial"))).toEqual([]);
});

test("what came in part counts by what was written of it, not by what the disk set aside", async () => {
  const [a, b] = ["a", "b"].map((name) => only(contentsOf({ [name]: large() }))) as [Content, Content];
  const begun = randomBytes(2 * 1024 * 1024 + 1);
  await killedAfter(b, begun);
  const one = pool(root, a.bytes + begun.length);
  await one.ensure([a]);
  expect(await readdir(join(root, "partial"))).toEqual([b.id]);
  await pool(root, a.bytes + begun.length - 1).ensure([only(contentsOf({ small: "x" }))]);
  expect(await readdir(join(root, "partial"))).toEqual([]);
});

test("what a pool brings for one model has its room, and keeps what has come, until all is there or it failed", async () => {
  const files = ["a", "b", "c"].map((name) => only(contentsOf({ [name]: large() })));
  const [a, b, c] = files as [Content, Content, Content];
  const one = pool(root, a.bytes + b.bytes + c.bytes - 1);
  pushed.faults.set(b.id, Array<Fault>(50).fill("gone"));
  let open = (): void => {};
  pushed.gates.set(b.id, new Promise((resolve) => (open = resolve)));
  const fetching = one.ensure([a, b]);
  await expect.poll(async () => one.contents.has(a)).toBe(true);
  await expect(one.ensure([c])).rejects.toThrow(`${c.bytes} bytes more are wanted than --bundles-bytes`);
  expect(await one.contents.has(a)).toBe(true);
  open();
  await expect(fetching).rejects.toBeInstanceOf(FetchProblem);
  await one.ensure([c]);
  expect(await one.contents.has(c)).toBe(true);
});

test("the pools of a host share the room for what they bring; a killed pool takes none, and nothing counts twice", async () => {
  const files = ["a", "b", "c"].map((name) => only(contentsOf({ [name]: large() })));
  const [a, b, c] = files as [Content, Content, Content];
  let open = (): void => {};
  pushed.gates.set(a.id, new Promise((resolve) => (open = resolve)));
  const [one, other] = [pool(), pool(root, a.bytes + b.bytes)];
  const fetching = one.ensure([a]);
  await expect.poll(() => pushed.asked.length).toBe(1);
  await expect(other.ensure([b, c])).rejects.toBeInstanceOf(NoSpace);
  const same = other.ensure([a, b]);
  await expect.poll(async () => other.contents.has(b)).toBe(true);
  open();
  await Promise.all([fetching, same]);
  // What a pool leaves that is killed.
  await writeFile(join(root, "coming", "0123456789abcdef"), `${"0".repeat(64)} ${MANY}\n`);
  await other.ensure([c]);
  expect(await other.contents.has(c)).toBe(true);
  expect(await readdir(join(root, "coming"))).toEqual([]);
  expect((await readdir(join(root, "locks"))).filter((name) => name.startsWith("coming"))).toEqual([]);
});

test("of many large files only some are open at a time", async () => {
  const many = Array.from({ length: 50 }, (_, index) => Buffer.alloc(1024 * 1024 + 1, index));
  const contents = contentsOf(Object.fromEntries(many.map((bytes, index) => [`shard-${index}`, bytes])));
  let open = (): void => {};
  pushed.gate = new Promise((resolve) => (open = resolve));
  const one = pool();
  const fetching = one.ensure(contents);
  await expect.poll(() => pushed.asked.length).toBe(8);
  const locks = (await readdir(join(root, "locks"))).filter((name) => /^[0-9a-f]{64}$/.test(name));
  expect(locks.length).toBeLessThanOrEqual(32);
  open();
  await fetching;
  expect(one.counter.got).toBe(50 * (1024 * 1024 + 1));
});

test("a model's code comes while weights of others are under way, however many chunks these have", async () => {
  const weights = contentsOf(Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`w${n}`, large()])));
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  for (const { id } of weights) pushed.gates.set(id, gate);
  const code = contentsOf({ "cog.yaml": "one", "run.py": "two" });
  const one = pool();
  const fetching = one.ensure(weights);
  await expect.poll(() => pushed.asked.length).toBeGreaterThanOrEqual(8);
  await one.ensure(code);
  expect(await Promise.all(code.map(async (content) => one.contents.has(content)))).toEqual([true, true]);
  open();
  await fetching;
});

test("what is wanted no more is not fetched to its end", async () => {
  const content = only(contentsOf({ weights: large() }));
  pushed.gate = new Promise(() => {});
  const one = pool();
  const fetching = one.ensure([content]);
  await expect.poll(() => pushed.asked.length).toBe(1);
  one.ended.abort(new FetchProblem("retired"));
  await expect(fetching).rejects.toThrow("retired");
});

test.skipIf(!canMountDisks)(
  "a disk that fills is no fault of the files, and takes them when there is space",
  async () => {
    using disk = smallDisk(8);
    const content = only(contentsOf({ weights: large() }));
    const one = pool(disk.path);
    for (const leftBytes of [1024 * 1024, 0]) {
      disk.fill(leftBytes);
      await expect(one.ensure([content])).rejects.toBeInstanceOf(NoSpace);
    }
    // It fills up meanwhile.
    disk.empty();
    let open = (): void => {};
    pushed.gate = new Promise((resolve) => (open = resolve));
    const fetching = one.ensure([content]);
    await expect.poll(() => pushed.asked.length).toBe(1);
    disk.fill(1024 * 1024);
    open();
    await expect(fetching).rejects.toBeInstanceOf(NoSpace);
    disk.empty();
    await one.ensure([content]);
    expect(await one.contents.has(content)).toBe(true);
  },
);

test.skipIf(!canMountDisks)("what came in part already takes no place again", async () => {
  using disk = smallDisk(8);
  const content = only(contentsOf({ weights: large() }));
  const one = pool(disk.path);
  pushed.faults.set(content.id, ["cut", ...Array<Fault>(50).fill("away")]);
  await expect(one.ensure([content])).rejects.toBeInstanceOf(SourceAway);
  pushed.faults.clear();
  disk.fill(2 * 1024 * 1024);
  await one.ensure([content]);
  expect(await one.contents.has(content)).toBe(true);
});
