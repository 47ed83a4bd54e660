import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { EdgeplaneKeysSchema } from "../environments/edgeplane-keys.ts";
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

test("batches have the limits that their model's author says; what can't be meant is refused in words", async () => {
  const folder = "batches";
  const say = (name: string, ...keys: string[]): void =>
    put(`${folder}/${name}/cog.yaml`, `edgeplane:\n${keys.map((key) => `  ${key}\n`).join("")}`);
  say("good", "cost: tokens(text) + 2", "maxBatchCost: 4096", "costBuckets: [32, 64]", "latencyObjectiveMs: 200");
  say("late", "dropLate: true", "cost: width * height", "costBuckets: powers-of-two");
  say("no-cost", "maxBatchCost: 4096");
  say("code", "cost: __import__('os').system('true')");
  say("falling", "cost: seconds", "costBuckets: [64, 32]");
  const { models, problems } = await findModels(join(root, folder), [], finder);
  const [good, late] = models;
  expect(good?.batching).toMatchObject({ maxBatchCost: 4096, latencyObjectiveMs: 200, dropsLate: false });
  expect([31, 32, 33, 65].map((cost) => good?.batching.buckets?.of(cost))).toEqual([0, 0, 1, 2]);
  expect(late?.batching.dropsLate).toBe(true);
  expect([0, 1, 2, 3, 4, 5].map((cost) => late?.batching.buckets?.of(cost))).toEqual([0, 0, 1, 2, 2, 3]);
  const problemOf = Object.fromEntries(problems.map(({ folder: name, problem }) => [name, problem]));
  expect(problemOf["no-cost"]).toBe(
    "cog.yaml, edgeplane.cost: maxBatchCost and costBuckets need it: say what a prediction costs",
  );
  expect(problemOf["code"]).toContain("edgeplane.cost: the cost");
  expect(problemOf["falling"]).toContain("in rising order");
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

test("edgeplane.yaml says what the section of cog.yaml may say, and both together are refused", async () => {
  const folder = "beside";
  const cog = "run: run.py:Runner\n";
  put(`${folder}/own/cog.yaml`, cog);
  put(
    `${folder}/own/edgeplane.yaml`,
    "maxBatchSize: 4\ndeterministic: true\ninstances:\n  count: 2\n  devices: [1, 3]\n",
  );
  put(`${folder}/empty/cog.yaml`, cog);
  put(`${folder}/empty/edgeplane.yaml`, "");
  put(`${folder}/both/cog.yaml`, `${cog}edgeplane:\n  maxBatchSize: 2\n`);
  put(`${folder}/both/edgeplane.yaml`, "maxBatchSize: 4\n");
  put(`${folder}/typo/cog.yaml`, cog);
  put(`${folder}/typo/edgeplane.yaml`, "edgeplane:\n  maxBatchSize: 4\n");
  put(`${folder}/lane/cog.yaml`, cog);
  put(`${folder}/lane/edgeplane.yaml`, "lane: Not A Lane\n");
  put(`${folder}/text/cog.yaml`, cog);
  put(`${folder}/text/edgeplane.yaml`, "large");
  const { models, problems } = await findModels(join(root, folder), [], finder);
  expect(models.map(({ manifest }) => manifest.name)).toEqual(["empty", "own"]);
  expect(models.map(({ manifest }) => manifest.deterministic)).toEqual([false, true]);
  expect(models[1]).toMatchObject({ batching: { maxBatchSize: 4 }, placement: { count: 2, devices: ["1", "3"] } });
  const problemOf = Object.fromEntries(problems.map(({ folder, problem }) => [folder, problem]));
  expect(problemOf["both"]).toContain("keep one of them");
  expect(problemOf["typo"]).toMatch(/^edgeplane.yaml, top level: .*edgeplane/);
  expect(problemOf["lane"]).toMatch(/^edgeplane.yaml, lane: /);
  expect(problemOf["text"]).toContain("edgeplane.yaml");
});

test("docs/models.md names every key", () => {
  const page = readFileSync(new URL("../../../docs/models.md", import.meta.url), "utf8");
  const [, section = ""] = /^## Keys under `edgeplane`$(.*?)^## /ms.exec(page) ?? [];
  const named = section.split("\n").flatMap((row) => {
    const [, first = ""] = row.split("|");
    return Array.from(first.matchAll(/`(\w+)`/g), ([, key]) => key);
  });
  expect(new Set(named)).toEqual(new Set(Object.keys(EdgeplaneKeysSchema.shape)));
});

test("an empty cog.yaml is a model with all defaults", () => {
  expect(parseCogYaml("").edgeplane.enabled).toBe(true);
});
