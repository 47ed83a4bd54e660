import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { processIo } from "../io.ts";
import type { Io } from "../io.ts";
import type { PushedFile } from "./folder.ts";
import { HashCache, hashFile } from "./hashes.ts";

let home = "";
let io: Io;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "edgeplane-hashes-"));
  io = { ...processIo(), env: { XDG_CACHE_HOME: home } };
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(home, { recursive: true, force: true });
});

const file: PushedFile = {
  path: "a",
  file: "/nowhere/a",
  mode: 0o644,
  bytes: 10,
  mtimeNs: "1000000000",
  ctimeNs: "1000000000",
  inode: "7",
};
const chunks = ["a".repeat(64)];

test("a hash is kept for the file as it was, and for no other", () => {
  const cache = new HashCache(io, "/m");
  cache.keep(file, chunks);
  cache.save(true);
  expect(new HashCache(io, "/m").find(file)).toEqual(chunks);
  expect(new HashCache(io, "/other").find(file)).toBeNull();
  const others = [{ path: "b" }, { bytes: 11 }, { mtimeNs: "2" }, { ctimeNs: "2" }, { inode: "8" }];
  for (const other of others) expect(new HashCache(io, "/m").find({ ...file, ...other })).toBeNull();
});

test("a file that was just changed may change again and keep its times: its hash is not kept", () => {
  const cache = new HashCache(io, "/m");
  const fresh = { ...file, ctimeNs: `${Date.now()}000000` };
  cache.keep(fresh, chunks);
  cache.save(true);
  expect(new HashCache(io, "/m").find(fresh)).toBeNull();
});

test("a push that was cut keeps what it knew; a whole one forgets files that are gone", () => {
  const first = new HashCache(io, "/m");
  first.keep(file, chunks);
  first.save(true);
  const cut = new HashCache(io, "/m");
  cut.keep({ ...file, path: "b" }, chunks);
  cut.save(false);
  const both = new HashCache(io, "/m");
  expect([both.find(file), both.find({ ...file, path: "b" })]).toEqual([chunks, chunks]);
  const whole = new HashCache(io, "/m");
  whole.find(file);
  whole.save(true);
  expect(new HashCache(io, "/m").find({ ...file, path: "b" })).toBeNull();
});

test("a file over 64 MiB has a hash for each 64 MiB, an empty one has none", async () => {
  const path = join(home, "large");
  const bytes = Buffer.alloc(64 * 1024 * 1024 + 5, 3);
  const listed = (): PushedFile => {
    const stats = statSync(path, { bigint: true });
    const state = { bytes: Number(stats.size), mtimeNs: String(stats.mtimeNs), ctimeNs: String(stats.ctimeNs) };
    return { path: "large", file: path, mode: 0o644, ...state, inode: String(stats.ino) };
  };
  writeFileSync(path, bytes);
  const sha256 = (part: Buffer): string => createHash("sha256").update(part).digest("hex");
  let read = 0;
  const hashed = await hashFile(listed(), new AbortController().signal, (more) => (read += more));
  expect(hashed).toEqual([sha256(bytes.subarray(0, 64 * 1024 * 1024)), sha256(bytes.subarray(64 * 1024 * 1024))]);
  expect(read).toBe(bytes.length);
  writeFileSync(path, "");
  expect(await hashFile(listed(), new AbortController().signal, () => {})).toEqual([]);
});
