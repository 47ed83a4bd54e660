/**
 * How models run, in place of what their files say. The edge is asked when the pool starts, whenever its channel opens
 * or tells of a change, and now and then; what it says holds at once. It is kept on disk, so that a start while the
 * edge is away is like the one before.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { modelPath } from "../src/contract/manifest.ts";
import { HeardConfigurationsSchema } from "../src/contract/model-configuration.ts";
import type { ModelConfiguration } from "../src/contract/model-configuration.ts";
import { configurationOf, NOTHING_SAID } from "./runtime/models/configurations.ts";
import type { Configurations } from "./runtime/models/configurations.ts";
import { reconfigure } from "./runtime/models/configured.ts";
import type { ModelRunner } from "./runtime/model-runner.ts";
import type { Clock } from "./scheduling/clock.ts";
import { StatusError } from "./transport/http-client.ts";
import type { HttpClient } from "./transport/http-client.ts";

const ASK_MS = 5000;
/** What was missed on the channel is found so soon. */
const EVERY_MS = 300_000;
const RETRY_MS = 10_000;
const FILE = "configurations.json";
export const MISCONFIGURED = "what the edge says of how the model runs doesn't fit its files: what held before does";
/** An edge of the release before knows no such call; a token that it refuses is told when the channel opens. */
const SILENT: readonly number[] = [401, 403, 404];

/** Never rejects: what can't be had is said, and the start goes on with what was kept. */
export async function readConfigurations(http: HttpClient, stateDir: string, log: Logger): Promise<Configurations> {
  const file = join(stateDir, FILE);
  try {
    return await ask(http, file);
  } catch (error) {
    if (!isSilent(error))
      log.warn({ why: why(error) }, "the edge did not say how models are configured: those it said last hold");
    return kept(file);
  }
}

export type ConfigurationWatchOptions = {
  http: HttpClient;
  stateDir: string;
  clock: Clock;
  log: Logger;
  /** Those that are offered. */
  runners(): readonly ModelRunner[];
  /** What the edge said when the pool started. */
  said: Configurations;
};

export class ConfigurationWatch {
  readonly #options: ConfigurationWatchOptions;
  #said: Configurations;
  #isAsking = false;
  /** The edge may have changed it since it was asked. */
  #isDue = false;
  #isOver = false;
  #cancelTimer: () => void = () => {};

  constructor(options: ConfigurationWatchOptions) {
    this.#options = options;
    this.#said = options.said;
  }

  /** Asks the edge, once more if it is being asked. */
  ask(): void {
    this.#isDue = true;
    if (!this.#isAsking && !this.#isOver) void this.#run();
  }

  /** Models that came lately run as the edge said last. */
  apply(): void {
    if (this.#isOver) return;
    for (const runner of this.#options.runners())
      this.#applyTo(runner, configurationOf(this.#said, runner.model.manifest));
  }

  stop(): void {
    this.#isOver = true;
    this.#cancelTimer();
  }

  async #run(): Promise<void> {
    const { http, stateDir, log, clock } = this.#options;
    this.#isAsking = true;
    let againMs = EVERY_MS;
    while (this.#isDue) {
      this.#isDue = false;
      try {
        this.#said = await ask(http, join(stateDir, FILE));
        againMs = EVERY_MS;
        this.apply();
      } catch (error) {
        if (isSilent(error)) continue;
        againMs = RETRY_MS;
        log.warn({ why: why(error) }, "the edge did not say how models are configured: what it said last holds");
      }
    }
    this.#isAsking = false;
    this.#cancelTimer();
    if (!this.#isOver) this.#cancelTimer = clock.after(againMs, () => this.ask());
  }

  #applyTo(runner: ModelRunner, configuration: ModelConfiguration): void {
    const { model } = runner;
    const { log } = this.#options;
    const name = { model: modelPath(model.manifest), version: model.manifest.version };
    const changed = differing(model.configuration, configuration);
    if (changed.length === 0) {
      model.misconfigured = undefined;
      return;
    }
    try {
      reconfigure(model, configuration);
      model.misconfigured = undefined;
      log.info({ ...name, changed }, "the edge says otherwise how the model runs");
      runner.reconfigured();
    } catch (error) {
      const problem = why(error);
      if (model.misconfigured !== problem) log.error({ ...name, changed, problem }, MISCONFIGURED);
      model.misconfigured = problem;
    }
  }
}

async function ask(http: HttpClient, file: string): Promise<Configurations> {
  const answer = await http.json({ method: "GET", path: "/pool/v1/configurations", timeoutMs: ASK_MS });
  const said = HeardConfigurationsSchema.parse(answer);
  keep(file, said);
  return said;
}

/** A full disk keeps no word of the edge from holding. */
function keep(file: string, said: Configurations): void {
  try {
    writeFileSync(`${file}.new`, JSON.stringify(said));
    renameSync(`${file}.new`, file);
  } catch {
    // The next start without the edge goes by what was kept before.
  }
}

function kept(file: string): Configurations {
  try {
    return HeardConfigurationsSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return NOTHING_SAID;
  }
}

/** The keys that are said otherwise. */
function differing(one: ModelConfiguration, other: ModelConfiguration): string[] {
  const texts = (said: ModelConfiguration) => new Map(Object.entries(said).map(([key, value]) => [key, textOf(value)]));
  const [before, after] = [texts(one), texts(other)];
  return [...new Set([...before.keys(), ...after.keys()])].filter((key) => before.get(key) !== after.get(key));
}

function textOf(value: unknown): string {
  return JSON.stringify(value) ?? "";
}

function isSilent(error: unknown): boolean {
  return error instanceof StatusError && SILENT.includes(error.status);
}

function why(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
