/** Two versions of each model side by side, one on each of two pools: names, canaries, and what is deleted. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { createPool } from "../../scripts/lib/pool.ts";
import type { LocalPool } from "../../scripts/lib/pool.ts";
import { findPython } from "../../scripts/lib/preflight.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";

const dir = mkdtempSync(join(tmpdir(), "edgeplane-versions-"));
const pools: LocalPool[] = [];
/** Its own: what comes and goes here would look sick to others. */
let stack: Stack;

/** `FAILS`: of how many predictions one fails; 0: none. */
const CODE = `
import time

from cog import BaseRunner

FAILS = 0


class Runner(BaseRunner):
    def setup(self) -> None:
        self.count = 0

    def run(self, text: str) -> str:
        self.count += 1
        if text == "slow":
            time.sleep(0.5)
        if FAILS and self.count % FAILS == 0:
            raise ValueError("this version fails now and then")
        return "VERSION " + text
`;
const PredictionSchema = z.looseObject({
  id: z.string(),
  status: z.string(),
  version: z.string(),
  output: z.unknown(),
});
const ProblemSchema = z.looseObject({ status: z.number(), code: z.string() });
const CanarySchema = z.looseObject({
  outcome: z.string().nullable(),
  reason: z.string().nullable(),
  numbers: z.object({ canary: z.looseObject({ ended: z.number(), failed: z.number() }) }),
});
const AliasSchema = z.looseObject({ version: z.string(), canary: CanarySchema.nullable() });

/** A pool whose folder has one version of each model. */
async function startPool(version: string, fails: Record<string, number>): Promise<void> {
  for (const [name, rate] of Object.entries(fails)) {
    const folder = join(dir, version, name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "cog.yaml"), 'run: "run.py:Runner"\n');
    writeFileSync(join(folder, "run.py"), CODE.replace("VERSION", version).replace("FAILS = 0", `FAILS = ${rate}`));
  }
  const pool = createPool(
    {
      url: stack.url,
      token: stack.poolToken,
      models: join(dir, version),
      stateDir: join(dir, `state-${version}`),
      python: await findPython(),
      env: { EDGEPLANE_METRICS_PORT: "0" },
    },
    () => {},
    () => {},
  );
  pools.push(pool);
  pool.start();
  await pool.offered;
}

async function call<T>(
  schema: z.ZodType<T>,
  method: string,
  path: string,
  body?: unknown,
  prefer = "wait=30",
): Promise<T> {
  const response = await fetch(`${stack.url}/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json", prefer },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return schema.parse(await response.json());
}

async function remove(path: string): Promise<void> {
  const headers = { authorization: `Bearer ${stack.apiKey}` };
  expect((await fetch(`${stack.url}/v1${path}`, { method: "DELETE", headers })).status).toBe(202);
}

const latest = async (name: string) => (await call(AliasSchema, "GET", `/models/local/${name}/aliases/latest`)).version;
const canaryOf = async (name: string) =>
  (await call(AliasSchema, "GET", `/models/local/${name}/aliases/latest`)).canary;
const predict = (name: string, version?: string) =>
  call(PredictionSchema, "POST", `/models/local/${name}/predictions`, { input: { text: "hi" }, version });
const many = (name: string, count: number) => Promise.all(Array.from({ length: count }, () => predict(name)));

const models = { "tried-failing": 2, "tried-fine": 0 };
const old: Record<string, string> = {};
const fresh: Record<string, string> = {};

beforeAll(async () => {
  stack = await startStack({ offline: true, stateDir: join(dir, "state"), pool: false, say: () => {} });
  await startPool("old", { "tried-failing": 0, "tried-fine": 0 });
  for (const name of Object.keys(models)) old[name] = await latest(name);
  await startPool("new", models);
  for (const name of Object.keys(models)) {
    fresh[name] = await latest(name);
    if (fresh[name] === old[name]) throw new Error(`the second pool brought no other version of ${name}`);
  }
});
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.stop()));
  await stack.stop();
  rmSync(dir, { recursive: true, force: true });
});

test("both versions answer, each by its name", async () => {
  const name = "tried-fine";
  await call(AliasSchema, "PUT", `/models/local/${name}/aliases/stable`, { version: old[name] });
  expect(await predict(name)).toMatchObject({ output: "new hi", version: fresh[name] });
  expect(await predict(name, "stable")).toMatchObject({ output: "old hi", version: old[name] });
  expect(await call(AliasSchema, "POST", `/models/local/${name}/aliases/latest/rollback`)).toMatchObject({
    version: old[name],
  });
  await expect.poll(async () => (await predict(name)).output).toBe("old hi");
});

test("a canary that fails half of the time returns by itself, and no prediction of the old version fails", async () => {
  const name = "tried-failing";
  const body = { version: old[name], canary: { version: fresh[name], percent: 50 } };
  await call(AliasSchema, "PUT", `/models/local/${name}/aliases/latest`, body);
  const ended: z.infer<typeof PredictionSchema>[] = [];
  await expect
    .poll(async () => {
      ended.push(...(await many(name, 10)));
      return (await canaryOf(name))?.outcome;
    })
    .toBe("returned");
  expect((await canaryOf(name))?.reason).toContain("failed");
  expect(ended.filter(({ version, status }) => version === old[name] && status !== "succeeded")).toEqual([]);
  expect(ended.some(({ version, status }) => version === fresh[name] && status === "failed")).toBe(true);
  await expect
    .poll(async () => new Set((await many(name, 10)).map(({ version }) => version)))
    .toEqual(new Set([old[name]]));
});

test("a canary that is fine goes on, and is promoted when it is said to be", async () => {
  const name = "tried-fine";
  await call(AliasSchema, "PUT", `/models/local/${name}/aliases/latest`, {
    canary: { version: fresh[name], percent: 50 },
  });
  const ran = await many(name, 30);
  const tried = ran.filter(({ version }) => version === fresh[name]).length;
  await expect.poll(async () => (await canaryOf(name))?.numbers.canary).toMatchObject({ ended: tried, failed: 0 });
  expect(await canaryOf(name)).toMatchObject({ outcome: null });
  const promoted = await call(AliasSchema, "PUT", `/models/local/${name}/aliases/latest`, { version: fresh[name] });
  expect(promoted).toMatchObject({ version: fresh[name], canary: { outcome: "promoted" } });
});

test("what a deleted version had accepted runs to its end, and then it is gone", async () => {
  const [name, version] = ["tried-fine", old["tried-fine"] ?? ""];
  await call(z.unknown(), "PATCH", `/models/local/${name}`, { visibility: "private" });
  const path = `/models/local/${name}/versions/${version}`;
  const body = { input: { text: "slow" } };
  const accepted = await Promise.all(
    Array.from({ length: 3 }, () => call(PredictionSchema, "POST", `${path}/predictions`, body, "respond-async")),
  );
  const refused = await call(ProblemSchema, "DELETE", path);
  expect(refused).toMatchObject({ status: 409, detail: expect.stringContaining("(stable)") as unknown });
  await remove(`${path}?force=true`);
  for (const { id } of accepted) {
    const read = async () => call(PredictionSchema, "GET", `/predictions/${id}`);
    await expect.poll(read).toMatchObject({ status: "succeeded", output: "old slow" });
  }
  const gone = await call(ProblemSchema, "POST", `${path}/predictions`, { input: { text: "hi" } });
  expect(gone).toMatchObject({ status: 404, code: "version_deleted" });
  expect(await predict(name)).toMatchObject({ output: "new hi" });
});
