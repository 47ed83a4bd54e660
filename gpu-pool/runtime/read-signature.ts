/**
 * What a model takes and puts out, read by a process of it as a pool would start one. The process is ended as soon as
 * its signature was read: `setup()` is not waited for.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../scheduling/clock.ts";
import type { Loaded } from "./child-messages.ts";
import { prepareEnvironment } from "./environments/index.ts";
import type { CogYaml } from "./environments/cog-yaml.ts";
import { ModelProcess } from "./model-process.ts";

/** Its sign of life, once it is ready; it is gone long before. */
const SILENCE_MS = 60_000;

export type SignatureOptions = {
  environmentsDir: string;
  childPath: string;
  childModule: string;
  clock: Clock;
  /** For installing what it needs, and again for its import. */
  timeoutMs: number;
  /** Hears what goes on, and what the model prints. */
  log(line: string): void;
};

/** Throws where this machine can't: the message is the installation's, or the model's with its traceback. */
export async function readSignature(modelDir: string, cog: CogYaml, options: SignatureOptions): Promise<Loaded> {
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
