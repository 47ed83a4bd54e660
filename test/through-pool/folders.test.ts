/**
 * Every model folder of test/models that has a `cases.json`, through the real pool program: what its predictions come
 * to at the edge. One model at a time; the pool stops the processes of those that are done, as idle ones.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Tracked } from "../integration/pool/fake-edge.ts";
import { ModelCasesSchema, missingPart, problemsOf } from "../models/cases.ts";
import type { Case } from "../models/cases.ts";
import { isObject } from "../models/driver.ts";
import type { ItemResult, Json, Message } from "../models/driver.ts";
import { modelFolders, startHarness } from "./harness.ts";
import type { PoolFolder, PoolHarness } from "./harness.ts";

const folders = readdirSync(modelFolders).filter((name) => existsSync(join(modelFolders, name, "cases.json")));
const aboutOf = (name: string) =>
  ModelCasesSchema.parse(JSON.parse(readFileSync(join(modelFolders, name, "cases.json"), "utf8")));
const MEMORY_LIMIT = "EDGEPLANE_MEMORY_LIMIT_BYTES";
const IDLE_STOP_MS = 300;

function python(code: string): { ok: boolean; said: string } {
  const { status, stdout } = spawnSync("python3", ["-c", code], { encoding: "utf8" });
  return { ok: status === 0, said: stdout.trim() };
}
const minor = Number(python("import sys; print(sys.version_info.minor)").said);

/** What a folder's cases put into the environment of the process stands in cog.yaml for a pool. */
function asFolder(name: string): PoolFolder {
  const lines = Object.entries(aboutOf(name).env).map(([key, value]) =>
    key === MEMORY_LIMIT ? `edgeplane:\n  memoryLimitBytes: ${value}` : `environment:\n  - ${key}=${value}`,
  );
  return { name, settings: lines.join("\n") };
}

let harness: PoolHarness;
beforeAll(async () => {
  harness = await startHarness(folders.map(asFolder), ["--idle-stop-ms", String(IDLE_STOP_MS)]);
});
afterAll(() => harness.close());

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
  const prefix = `${harness.edge.url}/files/`;
  if (typeof value !== "string" || !value.startsWith(prefix)) return value;
  const mediaType = isObject(wanted) ? (wanted["mediaType"] ?? null) : null;
  return { $text: harness.edge.blobs.get(value.slice(prefix.length))?.toString() ?? "no such blob", mediaType };
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

function schemasOf(name: string): Json {
  const schema = harness.edge.hellos.at(-1)?.models.find((model) => model.name === name)?.schema ?? null;
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
      const { terminal } = await harness.run(name, {});
      expect(terminal).toMatchObject({ type: "failed", kind: "model", error: { code: "setup_failed" } });
      expect(JSON.stringify(terminal)).toContain(JSON.stringify(about.setupFails).slice(1, -1));
      expect(await harness.models()).toContain(JSON.stringify(about.traceback ?? "").slice(1, -1));
      return;
    }
    for (const one of about.cases.filter(fitsThePool)) {
      const wanted = asThePoolSays(one);
      const result = resultOf(await harness.run(name, one.input), wanted);
      expect(problemsOf(wanted, result), `${JSON.stringify(one.input).slice(0, 200)}\n${result.logs}`).toEqual([]);
    }
    await harness.edge.until(() => missingPart(about.schema, schemasOf(name)) === null, 15_000, `${name}: its schema`);
    const said: Message = {
      streams: harness.edge.hellos.at(-1)?.models.find((model) => model.name === name)?.streams ?? null,
    };
    expect(said).toEqual({ streams: about.streams });
  });
}

test("nothing ran before its start was counted, and what is idle is stopped", async () => {
  expect(harness.edge.violations).toEqual([]);
  const pids = async () => [...(await harness.models()).matchAll(/"pid":(\d+)/g)].length;
  await expect.poll(pids).toBe(0);
});
