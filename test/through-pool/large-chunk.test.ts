/** A stream whose chunks don't fit into a row of the edge's database, and a model that prints as much: they harm neither themselves nor others. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as z from "zod";
import { startStack } from "../../scripts/lib/stack.ts";

const MODEL = `
import time

from cog import BaseRunner, ConcatenateIterator


class Runner(BaseRunner):
    def run(self, size: int) -> ConcatenateIterator[str]:
        yield "a"
        print("p" * size)
        yield "b" * size
        time.sleep(3)
        yield "c"
`;
const PredictionSchema = z.object({ status: z.string(), output: z.unknown(), logs: z.string(), error: z.unknown() });

test("chunks and logs of 3 MB", async () => {
  const home = mkdtempSync(join(tmpdir(), "edgeplane-large-chunk-"));
  mkdirSync(join(home, "models/large-chunk"), { recursive: true });
  writeFileSync(join(home, "models/large-chunk/cog.yaml"), "run: run.py:Runner\n");
  writeFileSync(join(home, "models/large-chunk/run.py"), MODEL);
  const stack = await startStack({ offline: true, stateDir: join(home, "state"), models: join(home, "models") });
  const model = `${stack.url}/v1/models/local/large-chunk`;
  const headers = { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json", prefer: "wait=30" };
  const run = async (size: number) => {
    const body = JSON.stringify({ input: { size }, stream: true });
    const created = await fetch(`${model}/predictions`, { method: "POST", headers, body });
    return PredictionSchema.parse(await created.json());
  };
  try {
    await expect.poll(async () => (await fetch(model, { headers })).status).toBe(200);
    const [large, small] = await Promise.all([run(3_000_000), run(3)]);
    expect(small).toMatchObject({ status: "succeeded", output: ["a", "bbb", "c"] });
    expect(large).toMatchObject({ status: "succeeded", error: null });
    expect(large.logs).toContain("larger than 1 MiB");
  } finally {
    await stack.stop();
    rmSync(home, { recursive: true, force: true });
  }
}, 120_000);
