/**
 * Pools that are killed while weights come: what they had is gone on with, by whichever pool of the host; no model
 * ever sees a torn file, and what came in part counts once.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { COMMIT, startHuggingFace } from "../../hugging-face.ts";
import { PushedFiles, sha256 } from "../../pushed-files.ts";
import { startFixture } from "./fixture.ts";

const MIB = 1024 * 1024;

/** Says which weights it found when it was set up. */
const CODE = `
import hashlib
import os

from cog import BaseRunner, Input

HERE = os.path.dirname(os.path.abspath(__file__))


class Runner(BaseRunner):
    def setup(self) -> None:
        with open(os.path.join(HERE, "weights.bin"), "rb") as file:
            self.weights = hashlib.sha256(file.read()).hexdigest()

    def run(self, do: str = Input(default="")) -> str:
        return self.weights
`;

const code = (file: string, word: string) => ({
  "cog.yaml": `run: "run.py:Runner"\nedgeplane:\n  weights:\n    - {path: weights.bin, from: "hf://org/repo/${file}@${COMMIT}"}\n`,
  "run.py": `${CODE}\n# ${word}\n`,
});

test("weights of three models, whose pools are killed as they come, come once in all, and are right", async () => {
  await using hub = await startHuggingFace();
  const weights = { "a.bin": randomBytes(6 * MIB), "b.bin": randomBytes(5 * MIB) };
  for (const [file, bytes] of Object.entries(weights)) hub.files.set(`org/repo/${file}`, { bytes, isLfs: true });
  const pushed = new PushedFiles();
  const names = ["a.bin", "b.bin", "a.bin"] as const;
  const manifests = await Promise.all(
    names.map(async (file, index) => pushed.push(code(file, String(index)), { name: `model-${index}` })),
  );
  // Room for each content once, and for nothing else.
  const small = [...pushed.chunks.values()].reduce((sum, { length }) => sum + length, 0);
  const flags = ["--allow-loopback-inputs", "--bundles-bytes", String(small + 11 * MIB)];
  hub.holdAt = 2 * MIB;
  await using fixture = await startFixture([], flags, { pushed, env: { HF_ENDPOINT: hub.url } });
  const { edge, home } = fixture;
  const predictions = manifests.map((manifest) => edge.submit(manifest, { do: "x" }));
  const folder = join(home.root, "shared", "partial");
  const partial = (): number[] => sizesIn(folder);
  /** Two files come, and have at least so many bytes on the disk. */
  const reached = (bytes: number) =>
    expect.poll(() => partial().filter((size) => size >= bytes), { timeout: 30_000 }).toHaveLength(2);

  await reached(MIB);
  const { pool: second } = await fixture.second();
  hub.holdAt = 4 * MIB;
  await fixture.pool.kill("SIGKILL");
  await reached(3 * MIB);
  hub.holdAt = null;
  await second.kill("SIGKILL");
  fixture.restart();
  await edge.until(() => predictions.every(({ terminal }) => terminal !== null), 60_000);
  expect(predictions.map(({ terminal }) => terminal)).toMatchObject(
    names.map((file) => ({ type: "succeeded", output: sha256(weights[file]) })),
  );
  // Each pool went on where the one before was killed; what is asked from the start is only looked at.
  for (const file of ["a.bin", "b.bin"]) {
    const offsets = hub.sent.flatMap((one) => (one.startsWith(`org/repo/${file} bytes=`) ? [offsetOf(one)] : []));
    expect([(offsets[0] ?? 0) >= MIB, (offsets.at(-1) ?? 0) >= 3 * MIB]).toEqual([true, true]);
  }
  expect(partial()).toEqual([]);
  expect(pushed.problems).toEqual([]);
  expect(edge.violations).toEqual([]);
});

function sizesIn(folder: string): number[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0);
}

function offsetOf(sent: string): number {
  return Number(/ bytes=(\d+)-$/.exec(sent)?.[1] ?? 0);
}
