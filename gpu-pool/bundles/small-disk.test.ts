/** A disk that is smaller than the budget: what nobody uses makes room on it, too. */
import { link, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pack, PushedFiles } from "../../test/pushed-files.ts";
import { canMountDisks, smallDisk } from "../../test/small-disk.ts";
import { createHttpClient } from "../transport/http-client.ts";
import type { HttpClient } from "../transport/http-client.ts";
import { ContentFetcher } from "./content-fetcher.ts";
import { Contents, contentOf } from "./contents.ts";
import type { Content } from "./contents.ts";
import { EdgeFiles } from "./edge-files.ts";

const REF = { owner: "local", name: "pushed", version: "0".repeat(64) };
const MIB = 1024 * 1024;
const DISK_MIB = 8;
let pushed = new PushedFiles();
let [http, close]: [HttpClient | null, () => void] = [null, () => {}];

beforeEach(async () => {
  pushed = new PushedFiles();
  const server = await pushed.listen();
  http = createHttpClient(server.url, {});
  close = () => {
    http?.close();
    server.close();
  };
});
afterEach(() => close());

/** A file of so many bytes. */
function fileOf(name: string, bytes: number): Content {
  const { bundle, chunks } = pack({ [name]: Buffer.alloc(bytes, name) });
  for (const [sha, part] of chunks) pushed.chunks.set(sha, part);
  const [content] = bundle.files.flatMap((file) => contentOf(file) ?? []);
  if (content === undefined) throw new Error("no content");
  return content;
}

function poolOn(folder: string) {
  const contents = new Contents(folder);
  const fetcher = new ContentFetcher({ contents, budgetBytes: 1024 * DISK_MIB * MIB, leastFreeBytes: 0 });
  const edge = new EdgeFiles(http ?? createHttpClient(new URL("http://127.0.0.1:1"), {}), "none");
  return {
    contents,
    ensure: async (wanted: readonly Content[]) =>
      fetcher.ensure(wanted, {
        open: async (sha, offset, signal) => edge.chunk(REF, sha, offset, signal),
        onBytes: () => {},
        signal: new AbortController().signal,
      }),
    has: async (wanted: readonly Content[]) => Promise.all(wanted.map(async (content) => contents.has(content))),
  };
}

test.skipIf(!canMountDisks)("what was used longest ago makes room, and nothing that a model's folder has", async () => {
  using disk = smallDisk(DISK_MIB);
  const [a, b, c] = [fileOf("a", 3 * MIB), fileOf("b", 3 * MIB), fileOf("c", 3 * MIB)];
  const one = poolOn(disk.path);
  await one.ensure([a]);
  const path = one.contents.pathOf(a);
  await utimes(path, 2_000_000, (await stat(path)).mtime);
  await one.ensure([b]);
  await link(one.contents.pathOf(b), join(disk.path, "b-model's"));
  await one.ensure([c]);
  expect(await one.has([a, b, c])).toEqual([false, true, true]);
});

test.skipIf(!canMountDisks)("what it has no room for whatever goes takes nothing with it", async () => {
  using disk = smallDisk(DISK_MIB);
  const [a, b, c] = [fileOf("a", 3 * MIB), fileOf("b", 3 * MIB), fileOf("c", 3 * MIB)];
  const one = poolOn(disk.path);
  await one.ensure([a, b]);
  await expect(one.ensure([fileOf("larger than the disk", 9 * MIB)])).rejects.toThrow("bytes free, and");
  expect(await one.has([a, b])).toEqual([true, true]);
  // What is needed beside it, and is there already, is not what goes for it.
  await one.ensure([a, c]);
  expect(await one.has([a, b, c])).toEqual([true, false, true]);
});
