/**
 * What a plugin of a pushed model is shown, and what of its answer counts. Its author is a stranger to who calls the
 * model: it sees what the model sees, and neither who calls nor how; it may refuse, or change the input or the output.
 */
import * as z from "zod";
import type { ScreeningPhase } from "../../contract/attached-plugin.ts";
import type { OutputPart, PredictionCall, Verdict } from "../../../plugins/kernel/phases.ts";
import { FindingsSchema, MAX_HELD_CHARS, MAX_MESSAGE_CHARS } from "../verdict-schema.ts";

type Subjects = { screenInput: PredictionCall; screenOutput: OutputPart };

const shownOf = {
  screenInput: ({ predictionId, model, input, inputBytes }: Readonly<PredictionCall>) => ({
    predictionId,
    model,
    input,
    inputBytes,
  }),
  screenOutput: ({ predictionId, model, of, part, output, held }: Readonly<OutputPart>) => ({
    predictionId,
    model,
    of,
    part,
    output,
    held,
  }),
} as const;

export type ShownCall = keyof ReturnType<(typeof shownOf)["screenInput"]>;
export type ShownPart = keyof ReturnType<(typeof shownOf)["screenOutput"]>;

/** The part of a phase's subject that crosses into the plugin. */
export function shown<P extends ScreeningPhase>(phase: P, subject: Readonly<Subjects[P]>): object {
  return shownOf[phase](subject as PredictionCall & OutputPart);
}

/** Whose prediction it is. */
export function accountOf<P extends ScreeningPhase>(phase: P, subject: Readonly<Subjects[P]>): string {
  const known = subject as PredictionCall & OutputPart;
  return phase === "screenInput" ? known.principal.accountId : known.accountId;
}

const changeSchemas = {
  screenInput: z.object({ input: z.record(z.string(), z.json()).optional() }),
  screenOutput: z.object({ output: z.json().optional() }),
} as const satisfies Record<ScreeningPhase, z.ZodType>;

const RefusalShape = {
  code: z.literal("rejected_by_policy", "plugins of a pushed model refuse with rejected_by_policy"),
  message: z.string().min(1).max(MAX_MESSAGE_CHARS),
  findings: FindingsSchema,
};
const AnswerSchema = z.discriminatedUnion("verdict", [
  z.object({
    verdict: z.literal("continue"),
    subject: z.unknown().optional(),
    held: z.string().max(MAX_HELD_CHARS).nullish(),
    findings: FindingsSchema,
  }),
  z.object({ verdict: z.literal("reject"), ...RefusalShape }),
  z.object({ verdict: z.literal("shadow"), ...RefusalShape }),
]);

/** The verdict that `answer` is, over `subject`. Throws `z.ZodError` when it is none. */
export function parsePushedVerdict<P extends ScreeningPhase>(
  phase: P,
  subject: Readonly<Subjects[P]>,
  answer: unknown,
): Verdict<Subjects[P]> {
  const told = AnswerSchema.parse(answer);
  const findings = told.findings === undefined ? {} : { findings: told.findings };
  if (told.verdict !== "continue")
    return { verdict: told.verdict, code: told.code, message: told.message, ...findings };
  const change = told.subject === undefined ? {} : changeSchemas[phase].parse(told.subject);
  const changed = Object.entries(change).filter(([, value]) => value !== undefined);
  return {
    verdict: "continue",
    ...findings,
    ...(told.held === undefined ? {} : { held: told.held }),
    ...(changed.length === 0 ? {} : { subject: { ...subject, ...Object.fromEntries(changed) } }),
  };
}
