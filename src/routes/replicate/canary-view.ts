/** Canaries as clients start and read them. */
import * as z from "zod";
import { StickyBySchema } from "../../canary/split.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { ArmCountsSchema, noCounts } from "../../contract/canary.ts";
import type { Counts } from "../../contract/canary.ts";
import type { Env } from "../../env.ts";
import { callObject, objectNamed } from "../../object-calls.ts";
import { endCanary, outcomes, promoteCanary, readCanary, startCanary } from "../../registry/canaries.ts";
import type { Canary, Outcome } from "../../registry/canaries.ts";
import type { ModelName } from "../../registry/known-models.ts";
import { log, reasonOf } from "../../telemetry/log.ts";

const MAX_STEPS = 10;
const MAX_BAKE_S = 7 * 86_400;

const PercentSchema = z.number().min(0.01, "must be at least 0.01").max(100, "must be at most 100");

const StepSchema = z.object({
  percent: PercentSchema,
  bake_s: z.int().min(0).max(MAX_BAKE_S).meta({ description: "Seconds until the next step, at least." }),
});

export const NewCanarySchema = z
  .object({
    version: z.string().min(1).max(64).meta({ description: "The version that is tried: its digits, or an alias." }),
    percent: PercentSchema.optional().meta({ description: "How many of the predictions get it; or name `steps`." }),
    sticky_by: StickyBySchema,
    steps: z.array(StepSchema).max(MAX_STEPS).default([]).meta({
      description:
        "Percentages one after the other. Each holds for its time, and until ten predictions of the version have ended in it; behind one of 100 the version is promoted.",
    }),
  })
  .refine(({ percent, steps }) => (percent === undefined) !== (steps.length === 0), {
    error: "takes `percent`, or `steps` in its place",
    path: ["percent"],
  })
  .refine(({ steps }) => steps.every(({ percent }, index) => percent > (steps[index - 1]?.percent ?? 0)), {
    error: "must grow from step to step",
    path: ["steps"],
  })
  .meta({ id: "NewCanary" });
export type NewCanaryBody = z.output<typeof NewCanarySchema>;

const NumbersSchema = z
  .object({ base: ArmCountsSchema, canary: ArmCountsSchema })
  .meta({ description: "Of each version: predictions that it ended, failed by its own fault, or nobody started." });

export const CanarySchema = z
  .object({
    version: z.string(),
    base: z.string().meta({ description: "The version that the name points to." }),
    percent: z.number(),
    sticky_by: z.string(),
    steps: z.array(StepSchema),
    step: z.int().nullable().meta({ description: "Which of the steps holds, from 0; null where there are none." }),
    started_at: z.iso.datetime(),
    numbers: NumbersSchema,
    ended_at: z.iso.datetime().nullable(),
    outcome: z.enum(outcomes).nullable().meta({
      description: "`returned`: it failed more often than the base. `moved`: its name was pointed elsewhere.",
    }),
    reason: z.string().nullable(),
  })
  .meta({ id: "Canary" });

/** The canary of a name that is running, or the last that was; null: there never was one. */
export async function shownCanary(
  env: Env,
  pointer: string,
  base: string,
): Promise<z.output<typeof CanarySchema> | null> {
  const canary = await readCanary(env.DB, pointer);
  if (canary === null) return null;
  const hasMoved = canary.end === null && canary.base !== base;
  const numbers = canary.end === null ? await countsOf(env, canary) : (canary.end.numbers ?? noCounts());
  const end = canary.end ?? (hasMoved ? { at: null, outcome: "moved" as const, reason: MOVED } : null);
  return {
    version: canary.version,
    base: canary.base,
    percent: canary.percent,
    sticky_by: canary.stickyBy,
    steps: canary.steps.map(({ percent, bakeS }) => ({ percent, bake_s: bakeS })),
    step: canary.steps.length === 0 ? null : canary.step,
    started_at: new Date(canary.startedAt).toISOString(),
    numbers,
    ended_at: end === null || end.at === null ? null : new Date(end.at).toISOString(),
    outcome: end?.outcome ?? null,
    reason: end?.reason ?? null,
  };
}

const MOVED = "Its name was pointed to another version.";

/** Throws `invalid_input` where the version to be tried is what its name points to, or is being pointed to. */
export function checkTried(tried: string | null, base: string | undefined): void {
  if (tried === null || tried !== base) return;
  const description = "is the version that the name points to already";
  throw new EdgeplaneError("invalid_input", `- canary.version: ${description}\n`, {
    invalidFields: [{ field: "canary.version", description }],
  });
}

/** Starts a canary between `base` and `version`, both of which the caller has found. */
export async function beginCanary(
  env: Env,
  split: { pointer: string; model: ModelName; base: string; version: string },
  body: NewCanaryBody,
): Promise<void> {
  checkTried(split.version, split.base);
  const steps = body.steps.map(({ percent, bake_s: bakeS }) => ({ percent, bakeS }));
  const percent = body.percent ?? steps[0]?.percent ?? 0;
  await startCanary(env.DB, { ...split, percent, stickyBy: body.sticky_by, steps });
}

/** Ends what runs of a name; nothing happens where nothing does. */
export async function finishCanary(env: Env, pointer: string, outcome: Outcome, reason: string): Promise<void> {
  const canary = await readCanary(env.DB, pointer);
  if (canary === null || canary.end !== null) return;
  const numbers = await countsOf(env, canary);
  if (outcome === "promoted") await promoteCanary(env.DB, canary, { reason, numbers });
  else await endCanary(env.DB, canary, { outcome, reason, numbers });
  await objectNamed(env.CANARY, canary.id)
    .close()
    .catch((error: unknown) => log.warn("canary_not_closed", { canary: canary.id, reason: reasonOf(error) }));
}

async function countsOf(env: Env, { id }: Canary): Promise<Counts> {
  const stub = (): unknown => objectNamed(env.CANARY, id);
  return callObject(() => (stub() as RemoteCanary).counts());
}

/** The platform's own stub type walks through every type of the signatures. */
type RemoteCanary = { counts(): Promise<Counts> };
