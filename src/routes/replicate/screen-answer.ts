/**
 * What a plugin answers a prediction with is screened as what a model says is, by the settings that hold now: the
 * answer may have been made under others.
 */
import type { Answer, PredictionCall } from "../../../plugins/kernel/phases.ts";
import type { Hooks } from "../../../plugins/kernel/snapshot.ts";
import type { VerdictRecord } from "../../contract/verdict.ts";
import { hasHooks, newTrail, runPhase } from "../../pipeline/run-phase.ts";
import { within } from "../../shard/within.ts";
import { log, reasonOf } from "../../telemetry/log.ts";

/** The client waits for it. */
const PATIENCE_MS = 1000;

export type ScreenedAnswer = { answer: Answer; verdicts: readonly VerdictRecord[] };

/**
 * The answer as the plugins of `screenOutput` hand it on; null when one refuses it, or can't tell in a second: then the
 * prediction runs, and its output is screened like any. Never throws.
 */
export async function screenAnswer(
  hooks: Hooks,
  { predictionId, principal: { accountId }, model }: Pick<PredictionCall, "predictionId" | "principal" | "model">,
  answer: Answer,
): Promise<ScreenedAnswer | null> {
  if (!hasHooks(hooks, "screenOutput")) return { answer, verdicts: [] };
  const trail = newTrail();
  const part = { of: "output", part: "whole", output: answer.output, held: null } as const;
  const subject = { predictionId, accountId, model, ...part };
  try {
    const { output } = await within(runPhase(hooks, "screenOutput", subject, trail), PATIENCE_MS);
    return { answer: { ...answer, output }, verdicts: trail.verdicts };
  } catch (error) {
    log.info("answer_not_taken", { predictionId, reason: reasonOf(error) });
    return null;
  }
}
