/** What a pool would tell of a folder, as another program reads it. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pythonCache } from "../test/python-cache.ts";
import { ModelLives } from "./runtime/models/model-lives.ts";
import { readVersion } from "./runtime/models/folder-version.ts";
import { systemClock } from "./system-clock.ts";

const program = fileURLToPath(new URL("./describe.ts", import.meta.url));
const models = fileURLToPath(new URL("../test/models", import.meta.url));
let dir = "";
beforeAll(() => (dir = mkdtempSync(join(tmpdir(), "edgeplane-describe-"))));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** `told`: its lines. */
function describe(...args: string[]): { code: number | null; told: unknown[]; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: "utf8",
    env: { ...process.env, ...pythonCache },
  });
  const lines = stdout.split("\n").filter((line) => line !== "");
  return { code: status, told: lines.map((line): unknown => JSON.parse(line)), stderr };
}

test("the schema is read by a process of the model, and its set-up is not waited for", () => {
  expect(describe(join(models, "hostile-never-ready"))).toMatchObject({
    code: 0,
    told: [
      { manifest: { schema: null }, written: [] },
      { manifest: { schema: { components: {} }, streams: "no" }, schemaProblem: null },
    ],
  });
});

test("a model that can't be read here says why, and has its manifest all the same", () => {
  const { told, stderr } = describe(join(models, "import-fails"));
  expect(told).toMatchObject([{}, { manifest: { schema: null, lane: "default" } }]);
  expect(JSON.stringify(told[1])).toContain("ModuleNotFoundError");
  expect(stderr).toContain("Traceback");
});

test("without a schema nothing runs; what the model wrote is told, and a wrong key is a problem", async () => {
  const model = join(dir, "model");
  cpSync(join(models, "import-fails"), model, { recursive: true });
  await readVersion(model, dir, "pool");
  const life = new ModelLives(join(model, ".edgeplane"), "pool", systemClock).began();
  writeFileSync(join(model, "weights.bin"), "downloaded");
  const told = describe(model, "--static").told;
  expect(told).toMatchObject([{ manifest: { schema: null }, written: ["weights.bin"] }]);
  life.ended();
  writeFileSync(join(model, "cog.yaml"), "edgeplane:\n  maxBatchsize: 4\n");
  const wrong = describe(model, "--static");
  expect(wrong.code).toBe(0);
  expect(JSON.stringify(wrong.told)).toMatch(/^\[{"problem":"cog.yaml, edgeplane: .*maxBatchsize/);
});
