/**
 * Every model folder of test/models that has a `cases.json`, through the real pool program: what its predictions come to at the edge. One model
 * at a time; the pool stops the processes of those that are done, as idle ones.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startFakeEdge } from "../integration/pool/fake-edge.ts";
import type { FakeEdge, Tracked } from "../integration/pool/fake-edge.ts";
import { makeHome, refOf, startPool } from "../integration/pool/pool-process.ts";
import type { PoolHome, RunningPool } from "../integration/pool/pool-process.ts";
import { ModelCasesSchema, missingPart, problemsOf } from "../models/cases.ts";
import type { Case } from "../models/cases.ts";
import { isObject } from "../models/driver.ts";
import type { ItemResult, Json, Message } from "../models/driver.ts";

const source = fileURLToPath(new URL("../models", import.meta.url));
const folders = readdirSync(source).filter((name) => existsSync(join(source, name, "cases.json")));
const aboutOf = (name: string) =>
  ModelCasesSchema.parse(JSON.parse(readFileSync(join(source, name, "cases.json"), "utf8")));
const MEMORY_LIMIT = "EDGEPLANE_MEMORY_LIMIT_BYTES";
const IDLE_STOP_MS = 300;
const CASE_LIMIT_MS = 30_000;

function python(code: string): { ok: boolean; said: string } {
  const { status, stdout } = spawnSync("python3", ["-c", code], { encoding: "utf8" });
  return { ok: status === 0, said: stdout.trim() };
}
const minor = Number(python("import sys; print(sys.version_info.minor)").said);

let edge: FakeEdge;
let home: PoolHome;
let pool: RunningPool;

/** The folder as a host would have it: what its cases put into the process's environment stands in cog.yaml. */
function copyFolder(name: string): void {
  const { env } = aboutOf(name);
  const folder = join(home.models, name);
  cpSync(join(source, name), folder, { recursive: true });
  const file = join(folder, "cog.yaml");
  const lines = [
    readFileSync(file, "utf8")
      .replace(/^build:\n {2}python_version: .*\n/m, "")
      .trimEnd(),
  ];
  for (const [key, value] of Object.entries(env)) {
    if (key === MEMORY_LIMIT) lines.push("edgeplane:", `  memoryLimitBytes: ${value}`);
    else lines.push("environment:", `  - ${key}=${value}`);
  }
  writeFileSync(file, `${lines.join("\n")}\n`);
}

beforeAll(async () => {
  edge = await startFakeEdge();
  home = makeHome({});
  for (const name of folders) copyFolder(name);
  pool = startPool(home, edge.url, edge.token, ["--idle-stop-ms", String(IDLE_STOP_MS)]);
  await edge.until(() => edge.hellos.length > 0, 20_000, "the pool's hello");
});

afterAll(async () => {
  await pool.kill("SIGKILL");
  await edge.close();
  home.remove();
});

/** An uploaded file stands in an output as its URL at the edge. */
function withFileContents(value: Json, wanted: Json): Json {
  if (Array.isArray(value))
    return value.map((item, index) => withFileContents(item, Array.isArray(wanted) ? (wanted[index] ?? null) : null));
  if (isObject(value))
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [
        key,
        withFileContents(item, isObject(wanted) ? (wanted[key] ?? null) : null),
      ]),
    );
  const prefix = `${edge.url}/files/`;
  if (typeof value !== "string" || !value.startsWith(prefix)) return value;
  const mediaType = isObject(wanted) ? (wanted["mediaType"] ?? null) : null;
  return { $text: edge.blobs.get(value.slice(prefix.length))?.toString() ?? "no such blob", mediaType };
}

/** What the edge was told, in the words of a case. */
function resultOf({ events, terminal }: Tracked, wanted: Case): ItemResult {
  const result: ItemResult = {
    status: terminal?.type ?? "nothing",
    output: null,
    error: terminal?.type === "failed" ? terminal.error.message : null,
    logs: "",
    chunks: [],
    metrics: {},
    batchError: false,
    seconds: 0,
  };
  for (const event of events) {
    if (event.type === "log") result.logs += event.text;
    else if (event.type === "metric") result.metrics = event.metrics;
    else if (event.type === "output")
      result.chunks.push(withFileContents(event.chunk, wanted.chunks?.[result.chunks.length] ?? null));
  }
  if (terminal?.type === "succeeded") result.output = withFileContents(terminal.output ?? null, wanted.output ?? null);
  return result;
}

async function run(name: string, input: Json): Promise<Tracked> {
  const tracked = edge.submit(await refOf(home, name), input);
  await edge.until(() => tracked.terminal !== null, CASE_LIMIT_MS, `${name}: the end of a prediction`);
  return tracked;
}

function schemasOf(name: string): Json {
  const schema = edge.hellos.at(-1)?.models.find((model) => model.name === name)?.schema ?? null;
  const components: Json = isObject(schema) ? (schema["components"] ?? null) : null;
  return isObject(components) ? (components["schemas"] ?? null) : null;
}

const fitsThePool = ({ context }: Case): boolean => context === undefined;
const asThePoolSays = (one: Case): Case => (one.poolError === undefined ? one : { ...one, error: one.poolError });

for (const name of folders) {
  const about = aboutOf(name);
  const runnable = minor >= about.minMinor && (about.needs === undefined || python(`import ${about.needs}`).ok);
  test.runIf(runnable)(name, async () => {
    if (about.setupFails !== undefined) {
      const { terminal } = await run(name, {});
      expect(terminal).toMatchObject({ type: "failed", kind: "model", error: { code: "setup_failed" } });
      expect(JSON.stringify(terminal)).toContain(JSON.stringify(about.setupFails).slice(1, -1));
      const models = await (await fetch(`http://127.0.0.1:${await pool.port()}/models`)).text();
      expect(models).toContain(JSON.stringify(about.traceback ?? "").slice(1, -1));
      return;
    }
    for (const one of about.cases.filter(fitsThePool)) {
      const wanted = asThePoolSays(one);
      const result = resultOf(await run(name, one.input), wanted);
      expect(problemsOf(wanted, result), `${JSON.stringify(one.input).slice(0, 200)}\n${result.logs}`).toEqual([]);
    }
    await edge.until(() => missingPart(about.schema, schemasOf(name)) === null, 2000, `${name}: its schema`);
    const said: Message = { streams: edge.hellos.at(-1)?.models.find((model) => model.name === name)?.streams ?? null };
    expect(said).toEqual({ streams: about.streams });
  });
}

test("nothing ran before its start was counted, and what is idle is stopped", async () => {
  expect(edge.violations).toEqual([]);
  const pids = async () =>
    [...(await (await fetch(`http://127.0.0.1:${await pool.port()}/models`)).text()).matchAll(/"pid":(\d+)/g)].length;
  await expect.poll(pids, { timeout: 10_000 }).toBe(0);
});
