/** A model's version is what its author handed in, whatever the model writes into its folder, however its pool ends. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeEdge } from "./fake-edge.ts";
import type { FakeEdge } from "./fake-edge.ts";
import { startFixture } from "./fixture.ts";
import { makeHome, refOf, startPool } from "./pool-process.ts";
import type { RunningPool } from "./pool-process.ts";

const CODE = `
import os
import subprocess

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        os.makedirs("weights", exist_ok=True)
        with open("weights/model.bin", "ab") as file:
            file.write(b"downloaded")
        subprocess.check_call(["cp", "run.py", "weights/copy.txt"])

    def run(self, name: str) -> str:
        with open(name, "w") as file:
            file.write(name)
        return name
`;

type Spans = { toMs: number | null }[];

/** What the pool noted last of the model's lives, and of its work. */
function lastSpans(folder: string): { living: number | null | undefined; working: number | null | undefined } {
  const notes = join(folder, ".edgeplane");
  const [name = ""] = readdirSync(notes).filter((one) => one.startsWith("lives-"));
  const note = JSON.parse(readFileSync(join(notes, name), "utf8")) as { living: Spans; working: Spans };
  return { living: note.living.at(-1)?.toMs, working: note.working.at(-1)?.toMs };
}

/** Starts the pool and answers the version that it offers. */
async function offered(edge: FakeEdge, start: () => RunningPool): Promise<{ pool: RunningPool; version: string }> {
  const before = edge.hellos.length;
  const pool = start();
  await edge.until(() => edge.hellos.length > before, 60_000, "the pool's hello");
  return { pool, version: edge.hellos.at(-1)?.models[0]?.version ?? "none" };
}

test("a model is noted to live as long as its process, and to work in setup and predictions", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge, home, pool } = fixture;
  const folder = join(home.models, "single");
  const ref = await fixture.ref("single");
  const run = async (): Promise<void> => {
    const tracked = edge.submit(ref, { do: "fine" });
    await edge.until(() => tracked.terminal !== null);
  };
  await run();
  await expect.poll(() => lastSpans(folder).working).toBeTypeOf("number");
  const restsAtMs = lastSpans(folder).working ?? Infinity;
  await run();
  expect(lastSpans(folder).living).toBeNull();
  await pool.kill("SIGTERM");
  const { living, working } = lastSpans(folder);
  expect(working).toBeGreaterThan(restsAtMs);
  expect(living).toBeGreaterThanOrEqual(working ?? Infinity);
});

test("a start after a drain, after a kill, and beside another pool offers the version that was handed in", async () => {
  const edge = await startFakeEdge();
  const home = makeHome({ writer: { "cog.yaml": "run: run.py:Runner\n", "run.py": CODE } });
  const pools: RunningPool[] = [];
  const start = (state = home.state) => {
    const pool = startPool({ ...home, state }, edge.url, edge.token, ["--log-level", "info"]);
    pools.push(pool);
    return pool;
  };
  try {
    const ref = await refOf(home, "writer");
    const first = await offered(edge, start);
    expect(first.version).toBe(ref.version);
    const run = async (name: string): Promise<void> => {
      const tracked = edge.submit(ref, { name });
      await edge.until(() => tracked.terminal !== null);
      expect(tracked.terminal).toMatchObject({ type: "succeeded", output: name });
      expect(existsSync(join(home.models, "writer", name))).toBe(true);
    };
    await run("first.txt");
    const beside = await offered(edge, () => start(join(home.root, "state-2")));
    expect(beside.version).toBe(ref.version);
    await beside.pool.kill("SIGTERM");
    expect(await first.pool.kill("SIGTERM")).toBe(0);

    const second = await offered(edge, start);
    expect(second.version).toBe(ref.version);
    await expect
      .poll(() => second.pool.output())
      .toContain('"shown":["first.txt","weights/copy.txt","weights/model.bin"]');
    await run("second.txt");
    await second.pool.kill("SIGKILL");

    const third = await offered(edge, start);
    expect(third.version).toBe(ref.version);
    await run("third.txt");
    await third.pool.kill("SIGTERM");
    expect(await refOf(home, "writer")).toEqual(ref);

    writeFileSync(join(home.models, "writer", "labels.txt"), "the author's");
    const added = await offered(edge, start);
    writeFileSync(join(home.models, "writer", "run.py"), `${CODE}\n`);
    const edited = await offered(edge, () => start(join(home.root, "state-2")));
    expect(new Set([ref.version, added.version, edited.version]).size).toBe(3);
  } finally {
    await Promise.all(pools.map((pool) => pool.kill("SIGKILL")));
    await edge.close();
    home.remove();
  }
});
