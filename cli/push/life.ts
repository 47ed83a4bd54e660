/** What becomes of a version that was pushed: pending until a pool has set it up, then live or failed. */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import type { Client } from "../client.ts";
import { CliError, exitCodes } from "../errors.ts";
import type { Report } from "./report.ts";

const POLL_MS = 500;
/** What is not live by then goes on by itself. */
const LIMIT_MS = 30 * 60_000;

const ShownPluginSchema = z.looseObject({ name: z.string(), phases: z.array(z.string()) });
export type ShownPlugin = z.infer<typeof ShownPluginSchema>;

export const StateSchema = z.looseObject({
  status: z.enum(["pending", "live", "failed"]),
  problem: z.string().nullish(),
  stage: z.string().nullish(),
  log: z.string().nullish(),
  bundle: z.object({ bytes: z.number(), files: z.number() }).nullish(),
  /** Of a gateway that knows of them. */
  plugins: z.array(ShownPluginSchema).optional(),
  plugin_problem: z.string().nullish(),
});
export type State = z.infer<typeof StateSchema>;
export const PushedVersionSchema = z.looseObject({ id: z.string(), edgeplane: StateSchema });

/** Resolves once it is live. Throws with the pool's log once it failed. */
export async function untilLive(
  client: Client,
  model: string,
  version: string,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const giveUpAt = performance.now() + LIMIT_MS;
  let told = "";
  for (;;) {
    const { edgeplane: state } = await client.api(PushedVersionSchema, "GET", `/models/${model}/versions/${version}`, {
      signal,
    });
    if (state.status === "live") return;
    if (state.status === "failed") {
      const { problem = null, stage = null, log } = state;
      report.tell({ event: "failed", stage, problem, log: log ?? "" }, (log ?? "it left no log").trimEnd());
      throw failureOf(model, version, state);
    }
    const line = `pending: ${state.problem ?? "no pool has set it up yet"}`;
    if (line !== told) report.tell({ event: "pending", problem: state.problem ?? null }, line);
    told = line;
    if (performance.now() > giveUpAt)
      throw new CliError(
        `${model}:${version} is not live after ${LIMIT_MS / 60_000} minutes`,
        exitCodes.failed,
        `It goes on by itself: \`edgeplane versions show ${model}:${version}\` says how it stands.`,
      );
    await sleep(POLL_MS, undefined, { signal });
  }
}

function failureOf(model: string, version: string, { stage, problem }: State): CliError {
  const where = stage === null || stage === undefined ? "" : ` in ${stage}`;
  return new CliError(
    `${model}:${version} failed${where}: ${problem ?? "no pool said why"}`,
    exitCodes.failed,
    `Mend the folder and push again. \`edgeplane versions show ${model}:${version}\` has the log.`,
  );
}
