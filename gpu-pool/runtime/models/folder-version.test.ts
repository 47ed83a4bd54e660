import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test, vi } from "vitest";
import { readVersion, versionOf } from "./folder-version.ts";

/** Is called before each file is read. */
const reading = vi.hoisted(() => ({ of: (_path: string): void => {} }));
vi.mock("./folder-files.ts", async (original) => {
  const files = await original<typeof import("./folder-files.ts")>();
  const hashFile = async (path: string): Promise<string | undefined> => {
    reading.of(path);
    return files.hashFile(path);
  };
  return { ...files, hashFile };
});

const root = mkdtempSync(join(tmpdir(), "edgeplane-version-"));
const stateDir = join(root, "state");
let dir = "";
let folders = 0;
beforeEach(() => {
  folders += 1;
  dir = join(root, `model-${folders}`);
  put("cog.yaml", "run: run.py:Runner\n");
  put("run.py", "x = 1");
});
afterEach(() => {
  vi.useRealTimers();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  writeFileSync(join(dir, path), text);
}

const start = (pool = "pool") => readVersion(dir, stateDir, pool);

/** Notes that the model lived from and to so many milliseconds from now, and worked all the time or not at all. */
function lived(fromMs: number, toMs: number | null, { pool = "other", worked = true } = {}): void {
  const span = { fromMs: Date.now() + fromMs, toMs: toMs === null ? null : Date.now() + toMs };
  put(`.edgeplane/lives-${pool}.json`, JSON.stringify({ living: [span], working: worked ? [span] : [] }));
}
const MINUTE = 60_000;

test("a file that goes while others are read is no part of the version, and stops nobody", async () => {
  const { version } = await start();
  put("z.part", "soon gone");
  reading.of = () => rmSync(join(dir, "z.part"), { force: true });
  try {
    expect((await start()).version).toBe(version);
  } finally {
    reading.of = () => {};
  }
});

test("a version is what the files are: paths and contents in order, links by where they lead, and not what tools leave behind", async () => {
  put("lib/a.py", "a = 1");
  symlinkSync("nowhere", join(dir, "link"));
  const sha = (text: string) => createHash("sha256").update(text).digest();
  const whole = createHash("sha256");
  for (const [path, text] of [
    ["cog.yaml", "run: run.py:Runner\n"],
    ["lib/a.py", "a = 1"],
  ] as const)
    whole.update(`${path}\0`).update(sha(text));
  whole.update("link\0link nowhere\0").update("run.py\0").update(sha("x = 1"));
  const { version } = await start();
  expect(version).toBe(whole.digest("hex"));
  put("lib/__pycache__/a.pyc", "junk");
  put(".git/HEAD", "junk");
  put("b.pyc", "junk");
  expect((await start()).version).toBe(version);
  expect(await versionOf(dir)).toBe(version);
});

test("every change of the author's makes a new version: an edit, a new file, a deleted one, a link that leads elsewhere", async () => {
  symlinkSync("nowhere", join(dir, "link"));
  const versions = [(await start()).version];
  const changes = [
    () => put("run.py", "x = 2"),
    () => put("data/labels.txt", "a"),
    () => put("data/labels.txt", "b"),
    () => rmSync(join(dir, "data"), { recursive: true }),
    () => {
      rmSync(join(dir, "link"));
      symlinkSync("elsewhere", join(dir, "link"));
    },
  ];
  for (const change of changes) {
    change();
    expect(await versionOf(dir)).not.toBe(versions.at(-1));
    versions.push((await start()).version);
  }
  expect(new Set(versions).size).toBe(versions.length - 1);
  expect(versions[4]).toBe(versions[1]);
});

test("what the model wrote while it worked is no part of the version, at this start and every later one", async () => {
  const { version } = await start();
  lived(-MINUTE, MINUTE);
  put("weights/model.bin", "downloaded");
  put("cache.db", "1");
  const second = await start();
  expect(second).toMatchObject({ version, written: ["cache.db", "weights/model.bin"] });
  // The notes of that life are gone, and nothing new is known of the files.
  lived(-3 * MINUTE, -2 * MINUTE);
  expect(await start()).toMatchObject({ version, written: ["cache.db", "weights/model.bin"] });
  lived(-MINUTE, MINUTE);
  put("cache.db", "2");
  rmSync(join(dir, "weights"), { recursive: true });
  expect(await start()).toMatchObject({ version, written: ["cache.db"] });
  expect(await versionOf(dir)).toBe(version);
});

test("a life that was cut off reaches as far as its last sign, and one that goes on to now", async () => {
  const { version } = await start();
  put("weights.bin", "downloaded");
  lived(-MINUTE, null);
  expect((await start()).version).toBe(version);
  put("labels.txt", "the author's");
  lived(-2 * MINUTE, null);
  const note = join(dir, ".edgeplane/lives-other.json");
  utimesSync(note, new Date(), new Date(Date.now() - MINUTE));
  expect((await start()).version).not.toBe(version);
});

test("what the author adds or touches while the model does not live counts, and so do edits and Python files at any time", async () => {
  const { version } = await start();
  lived(-MINUTE, MINUTE);
  put("weights/model.bin", "downloaded");
  expect((await start()).version).toBe(version);
  lived(-3 * MINUTE, -2 * MINUTE);
  put("weights/model.bin", "the author's own");
  const own = await start();
  expect(own.version).not.toBe(version);
  expect(own.written).toEqual([]);
  lived(-MINUTE, MINUTE);
  put("run.py", "x = 2");
  const edited = await start();
  expect(edited.version).not.toBe(own.version);
  lived(-MINUTE, MINUTE);
  put("helpers.py", "y = 1");
  put("downloaded/code.py", "the model's");
  expect(await start()).toMatchObject({ written: ["downloaded/code.py"] });
  expect(await versionOf(dir)).not.toBe(edited.version);
});

test("what appears while the model lives and rests is the author's, until the model changes it at work", async () => {
  const { version } = await start();
  const rests = { worked: false };
  lived(-MINUTE, MINUTE, rests);
  put("labels.txt", "a");
  const added = await start();
  expect(added.version).not.toBe(version);
  expect(await start()).toMatchObject({ version: added.version });
  lived(-MINUTE, MINUTE, rests);
  put("labels.txt", "edited");
  const edited = await start();
  expect(new Set([version, added.version, edited.version]).size).toBe(3);
  lived(-MINUTE, MINUTE);
  put("labels.txt", "the model's after all");
  expect(await start()).toMatchObject({ version, written: ["labels.txt"] });
  lived(-MINUTE, MINUTE, rests);
  put("labels.txt", "written by the model as it rests");
  expect(await start()).toMatchObject({ version, written: ["labels.txt"] });
});

test("a file of doubtful origin that is changed while the model does not live is the author's for good", async () => {
  await start();
  lived(-MINUTE, MINUTE, { worked: false });
  put("labels.txt", "a");
  await start();
  put("labels.txt", "the author's");
  const { version } = await start();
  lived(-MINUTE, MINUTE);
  put("labels.txt", "changed");
  expect(await start()).toMatchObject({ written: [] });
  expect(await versionOf(dir)).not.toBe(version);
});

test("all that lies in a folder when it is first seen is the author's, and a lost record says so again", async () => {
  put("weights.bin", "handed in");
  lived(-MINUTE, MINUTE);
  const { version, written } = await start();
  expect(written).toEqual([]);
  lived(-MINUTE, MINUTE);
  put("more.bin", "downloaded");
  expect((await start()).version).toBe(version);
  put(".edgeplane/version.json", "{ torn");
  expect((await start()).version).not.toBe(version);
});

test("pools that share a folder agree, whoever's model wrote; a copy with its notes is the same version elsewhere", async () => {
  const { version } = await start("a");
  expect((await start("b")).version).toBe(version);
  lived(-MINUTE, null, { pool: "a" });
  put("weights.bin", "downloaded by a's model");
  expect((await start("b")).version).toBe(version);
  expect(readdirSync(join(dir, ".edgeplane"))).toContain("lives-a.json");
  expect((await start("a")).version).toBe(version);
  expect(readdirSync(join(dir, ".edgeplane"))).not.toContain("lives-a.json");
  const copy = join(root, "copy");
  cpSync(dir, copy, { recursive: true, preserveTimestamps: true });
  expect((await readVersion(copy, stateDir, "c")).version).toBe(version);
});

test("what has not changed is not read again; what was changed just before it was read, is", async () => {
  put("weights.bin", "x".repeat(1000));
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + MINUTE });
  const { version, hashed } = await start();
  expect(hashed).toBe(3);
  expect(await start()).toMatchObject({ version, hashed: 0 });
  put("run.py", "x = 2");
  expect(await start()).toMatchObject({ hashed: 1 });
  chmodSync(join(dir, "weights.bin"), 0o600);
  expect(await start()).toMatchObject({ hashed: 1 });
  vi.useRealTimers();
  put("run.py", "x = 3");
  expect(await start()).toMatchObject({ hashed: 1 });
  expect(await start()).toMatchObject({ hashed: 1 });
});

test("a folder that can't be written to has its record in the pool's state folder", async () => {
  put(".edgeplane", "no folder");
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + MINUTE });
  const { version, hashed, notesDir } = await start();
  expect(hashed).toBe(2);
  expect(dirname(notesDir)).toBe(join(stateDir, "models"));
  expect(existsSync(join(notesDir, "version.json"))).toBe(true);
  expect(await start()).toMatchObject({ version, hashed: 0 });
});

test("a record that can't be written costs no model, and no note of a life", async () => {
  const version = await versionOf(dir);
  put(".edgeplane/version.json/in-the-way", "");
  lived(-2 * MINUTE, -MINUTE);
  expect((await start()).version).toBe(version);
  expect(readdirSync(join(dir, ".edgeplane")).sort()).toEqual([".gitignore", "lives-other.json", "version.json"]);
});
