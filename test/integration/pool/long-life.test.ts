/**
 * A pool that lives long: of versions that came and went it keeps nothing, and it offers no more than the edge hears.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { queryObjects } from "node:v8";
import { expect, test } from "vitest";
import type { ModelRunner } from "../../../gpu-pool/runtime/model-runner.ts";
import { ModelLives } from "../../../gpu-pool/runtime/models/model-lives.ts";
import type { Model } from "../../../gpu-pool/runtime/models/model.ts";
import { versionKey } from "../../../gpu-pool/version-key.ts";
import { MAX_POOL_MODELS } from "../../../src/contract/channel.ts";
import { modelPath } from "../../../src/contract/manifest.ts";
import { KnownSchemas } from "../../../gpu-pool/runtime/known-schemas.ts";
import { PushedFiles } from "../../pushed-files.ts";
import { models } from "./models.ts";
import { modelAt, startPoolInside } from "./pool-inside.ts";

const VERSIONS = 1000;
const TOGETHER = 20;
/** Collects garbage first. */
const notesOnLives = (): number => queryObjects(ModelLives, { format: "count" });

/** The same model under another name, as one that was pushed: with a folder of its own. */
function another(model: Model, number: number): Model {
  const version = number.toString(16).padStart(64, "0");
  const manifest = { ...model.manifest, name: `m${number}`, version };
  return { ...model, notesDir: `${model.notesDir}-${number}`, manifest };
}

test("of a thousand versions that came and went nothing is kept", async () => {
  await using inside = await startPoolInside({ "set/m": models.single });
  const { pool, metrics, stateDir } = inside;
  const model = modelAt(inside, "set/m");
  const schemas = new KnownSchemas(stateDir);
  const runners: WeakRef<ModelRunner>[] = [];
  const comeAndGo = async (number: number): Promise<void> => {
    const runner = pool.models.add(another(model, number));
    const { manifest } = runner.model;
    runners.push(new WeakRef(runner));
    metrics.got(modelPath(manifest), 1);
    metrics.runSeconds.observe({ model: modelPath(manifest) }, 1);
    metrics.rates.granted(versionKey(manifest), 0);
    metrics.rates.of(`${versionKey(manifest)} `, 0);
    schemas.keep(manifest);
    await pool.models.retire(manifest);
  };
  const here = pool.models.add(model);
  expect(notesOnLives()).toBe(1);
  for (let number = 0; number < VERSIONS; number += TOGETHER)
    await Promise.all(Array.from({ length: TOGETHER }, async (_, index) => comeAndGo(number + index)));
  // Timers of a moment ago may still hold some.
  await expect.poll(notesOnLives, { interval: 500 }).toBe(1);
  await pool.models.retire(here.model.manifest);
  expect(runners.filter((runner) => runner.deref() !== undefined).length).toBeLessThan(TOGETHER);
  expect(metrics.rates.size).toBe(0);
  await expect.poll(async () => (await metrics.registry.metrics()).includes('model="local/m')).toBe(false);
  expect(readdirSync(join(stateDir, "schemas"))).toEqual([]);
});

test("beside models of folders it offers as many pushed ones as the edge hears of, and says what it leaves out", async () => {
  await using inside = await startPoolInside({ "set/m": models.single });
  const { pool, edge, log } = inside;
  const model = modelAt(inside, "set/m");
  const inFolders = MAX_POOL_MODELS - 2;
  pool.models.begin(Array.from({ length: inFolders }, (_, number) => another(model, number)));
  const pushed = new PushedFiles();
  const files = { "cog.yaml": "run: run.py:Runner\n", "run.py": "x = 1" };
  for (const name of ["one", "two", "three", "four"])
    await pushed.push({ ...files, "name.txt": name }, { name, isLive: false, isPending: false });
  edge.behaviour.pushed = pushed;
  edge.tell({ type: "models" });
  await edge.until(() => edge.hellos.at(-1)?.models.length === MAX_POOL_MODELS);
  const offered = edge.hellos.at(-1)?.models.map(({ name }) => name) ?? [];
  expect(offered.slice(inFolders)).toEqual(["one", "two"]);
  expect(log.join("")).toContain('"leftOut":2,"msg":"a pool offers 500 versions at most');
  await pool.models.retire(another(model, 0).manifest);
  await pushed.push({ ...files, "name.txt": "five" }, { name: "five", isLive: false, isPending: false });
  edge.tell({ type: "models" });
  await edge.until(() => edge.hellos.at(-1)?.models.some(({ name }) => name === "three") === true);
  expect(edge.hellos.at(-1)?.models).toHaveLength(MAX_POOL_MODELS);
});
