/**
 * How models run, in place of what their files say: asked of the edge when the pool starts, and kept, so that a start
 * while the edge is away is like the one before.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { ConfigurationsSchema } from "../src/contract/model-configuration.ts";
import type { ModelConfiguration } from "../src/contract/model-configuration.ts";
import { StatusError } from "./transport/http-client.ts";
import type { HttpClient } from "./transport/http-client.ts";

const ASK_MS = 5000;
const FILE = "configurations.json";

/** By `owner/name`. */
export type Configurations = Record<string, ModelConfiguration>;

/** Never rejects: what can't be had is said, and the start goes on with what was kept. */
export async function readConfigurations(http: HttpClient, stateDir: string, log: Logger): Promise<Configurations> {
  const file = join(stateDir, FILE);
  try {
    const answer = await http.json({ method: "GET", path: "/pool/v1/configurations", timeoutMs: ASK_MS });
    const { configurations } = ConfigurationsSchema.parse(answer);
    writeFileSync(`${file}.new`, JSON.stringify({ configurations }));
    renameSync(`${file}.new`, file);
    return configurations;
  } catch (error) {
    // An edge of the release before knows no such call; a token that it refuses is told when the channel opens.
    const isSilent = error instanceof StatusError && [401, 403, 404].includes(error.status);
    const why = error instanceof Error ? error.message : String(error);
    if (!isSilent) log.warn({ why }, "the edge did not say how models are configured: those it said last hold");
    return kept(file);
  }
}

function kept(file: string): Configurations {
  try {
    return ConfigurationsSchema.parse(JSON.parse(readFileSync(file, "utf8"))).configurations;
  } catch {
    return {};
  }
}
