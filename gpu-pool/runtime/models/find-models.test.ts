import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parseCogYaml } from "./cog-yaml.ts";
import { findModels } from "./find-models.ts";

const root = mkdtempSync(join(tmpdir(), "edgeplane-models-"));
const finder = { id: "pool", stateDir: join(root, "state") };
afterAll(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, text: string): void {
  mkdirSync(join(root, path, ".."), { recursive: true });
  writeFileSync(join(root, path), text);
}

test("finds models, and names what stops a folder from being one without stopping the others", async () => {
  put("good/cog.yaml", "run: run.py:Runner\nedgeplane:\n  maxBatchSize: 4\n  instances: 2\n");
  put("good/run.py", "x = 1");
  put("async/cog.yaml", "concurrency:\n  max: 5\n");
  put("off/cog.yaml", "edgeplane:\n  enabled: false\n");
  put("typo/cog.yaml", "edgeplane:\n  maxBatchsize: 4\n");
  put("torn/cog.yaml", "build:\n  gpu: [\n");
  put("Bad Name/cog.yaml", "run: x.py:Y\n");
  put("lane/cog.yaml", "edgeplane:\n  lane: Not A Lane\n");
  put("notes/readme.md", "no model");
  const { models, problems } = await findModels(root, [], finder);
  expect(models.map(({ manifest }) => manifest.name)).toEqual(["async", "good"]);
  expect(models[0]).toMatchObject({ slotsPerInstance: 5, batching: { maxBatchSize: 1, maxQueueDelayMs: 0 } });
  expect(models[1]).toMatchObject({
    placement: { count: 2, devices: null, devicesPerInstance: 1, memoryHint: null, pinned: false },
    batching: { maxBatchSize: 4 },
    manifest: { owner: "local", lane: "default" },
  });
  const problemOf = Object.fromEntries(problems.map(({ folder, problem }) => [folder, problem]));
  expect(Object.keys(problemOf).sort()).toEqual(["Bad Name", "lane", "torn", "typo"]);
  expect(problemOf["typo"]).toContain("edgeplane");
  expect(problemOf["torn"]).toMatch(/line \d/);
  expect(problemOf["Bad Name"]).toContain("the folder's name");
  expect(problemOf["lane"]).toContain("edgeplane.lane");
  expect((await findModels(root, ["off"], finder)).models.map(({ manifest }) => manifest.name)).toContain("off");
});

test("a model has as many slots as its predictor says that it runs at once; cog.yaml wins", async () => {
  const folder = "concurrent";
  const code = "from cog import concurrent\n\n\nclass Runner:\n    @concurrent(max=7)\n    async def run(self): ...\n";
  put(`${folder}/said/cog.yaml`, "run: lib/model.py:Runner\n");
  put(`${folder}/said/lib/model.py`, code);
  put(`${folder}/usual/cog.yaml`, "");
  put(`${folder}/usual/predict.py`, code);
  put(`${folder}/wins/cog.yaml`, "run: run.py:Runner\nconcurrency:\n  max: 3\n");
  put(`${folder}/wins/run.py`, code);
  const { models } = await findModels(join(root, folder), [], finder);
  expect(models.map(({ slotsPerInstance }) => slotsPerInstance)).toEqual([7, 7, 3]);
});

test("an empty cog.yaml is a model with all defaults", () => {
  expect(parseCogYaml("").edgeplane.enabled).toBe(true);
});
