/**
 * What a model's folder says of itself, as a pool would tell it: the manifest by its keys, and, by a process of the
 * model, its schema. That process is ended as soon as the model's signature was read: `setup()` is not waited for.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Manifest } from "../../src/contract/manifest.ts";
import type { Clock } from "../scheduling/clock.ts";
import type { Loaded } from "./child-messages.ts";
import { prepareEnvironment } from "./environments/index.ts";
import type { CogYaml } from "./environments/cog-yaml.ts";
import { writtenIn } from "./models/folder-version.ts";
import { batchingOf } from "./models/configured.ts";
import { manifestOf, readKeys } from "./models/find-models.ts";
import { ModelProcess } from "./model-process.ts";

/** Its sign of life, once it is ready; it is gone long before. */
const SILENCE_MS = 60_000;
/** Stand for what only a push decides. */
const NOBODY = { owner: "local", name: "model", version: "0".repeat(64) };

export type Description = {
  /** Without owner, name and version. `schema` is null where it was not asked for, or could not be read. */
  manifest: Omit<Manifest, "owner" | "name" | "version">;
  /** Paths of the files that the model itself wrote into its folder: they are no part of a version. */
  written: string[];
  /** Why this machine can't tell the schema; null where it could, or was not asked to. */
  schemaProblem: string | null;
};

export type DescribeOptions = {
  /** False: nothing is installed and nothing runs. */
  withSchema: boolean;
  environmentsDir: string;
  childPath: string;
  childModule: string;
  clock: Clock;
  /** For installing what it needs, and again for its import. */
  timeoutMs: number;
  /** Hears what goes on, and what the model prints. */
  log(line: string): void;
};

/** Throws an error that names the file and the key where the folder is no model. */
export async function describeFolder(folder: string, options: DescribeOptions): Promise<Description> {
  const dir = resolve(folder);
  const keys = await readKeys(dir);
  const { owner: _owner, name: _name, version: _version, ...manifest } = manifestOf(keys, NOBODY);
  batchingOf(keys.cog.edgeplane, keys.place);
  const written = await writtenIn(dir);
  if (!options.withSchema) return { manifest, written, schemaProblem: null };
  try {
    const { schema, streams } = await readSignature(dir, keys.cog, options);
    return { manifest: { ...manifest, schema, streams }, written, schemaProblem: null };
  } catch (error) {
    return { manifest, written, schemaProblem: error instanceof Error ? error.message : String(error) };
  }
}

async function readSignature(modelDir: string, cog: CogYaml, options: DescribeOptions): Promise<Loaded> {
  const { environmentsDir, childPath, childModule, clock, timeoutMs, log } = options;
  const prepared = await prepareEnvironment({
    modelDir,
    cog,
    environmentsDir,
    log,
    installTimeoutMs: timeoutMs,
  });
  for (const warning of prepared.warnings) log(warning);
  const scratchDir = await mkdtemp(join(tmpdir(), "edgeplane-describe-"));
  const { promise, resolve: loaded, reject } = Promise.withResolvers<Loaded>();
  const gone = Promise.withResolvers<void>();
  const child = new ModelProcess({
    python: prepared.python,
    env: prepared.env,
    modelDir,
    childPath,
    childModule,
    slots: 1,
    scratchDir,
    jail: null,
    cudaVisibleDevices: "",
    clock,
    setupTimeoutMs: timeoutMs,
    silenceMs: SILENCE_MS,
    progressMs: null,
    healthEveryMs: SILENCE_MS,
    onLoaded: loaded,
    onReady() {},
    onSlotMessage() {},
    onPrinted: log,
    onGone({ setupFailure, why }) {
      reject(new Error(setupFailure === null ? why : [setupFailure.message, setupFailure.traceback].join("\n").trim()));
      gone.resolve();
    },
  });
  try {
    return await promise;
  } finally {
    child.kill("its signature was read");
    await gone.promise;
    prepared.release();
    await rm(scratchDir, { recursive: true, force: true });
  }
}
