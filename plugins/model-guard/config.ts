/** What an operator says of a guard: which model decides, over what, and who pays. */
import * as z from "zod";
import type { ModelReference } from "../kernel/services.ts";
import { windowSettings } from "../kernel/text-window.ts";

/** Of one question; the hook has a little more for all that it asks. */
export const MAX_TIMEOUT_MS = 25_000;

export const ConfigSchema = z
  .strictObject({
    model: z
      .string()
      .regex(/^[^/:\s]{1,63}\/[^/:\s]{1,63}(?::[0-9a-f]{64})?$/, "owner/name or owner/name:version")
      .optional()
      .meta({ description: "The model that decides: `owner/name`, its latest version, or `owner/name:version`." }),
    deployment: z
      .string()
      .regex(/^[^/:\s]{1,63}\/[^/:\s]{1,63}$/, "account/name")
      .optional()
      .meta({ description: "In place of `model`: `account/name` of a deployment." }),
    on: z.enum(["input", "output", "both"]).default("both"),
    logs: z
      .boolean()
      .default(true)
      .meta({ description: "With outputs: whether what models log, and the messages of their errors, is judged too." }),
    textField: z
      .string()
      .min(1)
      .max(100)
      .nullable()
      .default("text")
      .meta({ description: "The field of the guard's input that takes a text; null: texts aren't judged." }),
    imageField: z
      .string()
      .min(1)
      .max(100)
      .nullable()
      .default(null)
      .meta({ description: "The field of the guard's input that takes a picture; null: pictures aren't judged." }),
    imageFields: z
      .array(z.string().min(1).max(100))
      .min(1)
      .max(100)
      .optional()
      .meta({ description: "Fields of inputs whose URLs lead to pictures, at any depth. Left out: every field's." }),
    imageUrls: z.enum(["judge", "refuse"]).default("judge").meta({
      description:
        "Pictures given by URL: the guard and the model fetch them each for itself, and could be given different ones.",
    }),
    input: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
      .default({})
      .meta({ description: "What else the guard's input has, such as a threshold." }),
    allowedCategories: z.array(z.string()).max(100).default([]).meta({
      description: "What is flagged for these alone passes, and is recorded.",
    }),
    account: z.string().min(1).max(64).optional().meta({
      description: "The account that pays for the guard's predictions, by id or name. Left out: the guarded one.",
    }),
    timeoutMs: z.int().min(100).max(MAX_TIMEOUT_MS).default(5000).meta({ description: "For one question." }),
    cacheMs: z
      .int()
      .min(0)
      .max(86_400_000)
      .default(300_000)
      .meta({ description: "How long an isolate goes by a verdict; 0: not at all." }),
    maxCharacters: z.int().min(100).max(1_000_000).default(4000).meta({
      description: "Longer texts are judged in pieces of this length.",
    }),
    maxQuestions: z.int().min(1).max(256).default(32).meta({
      description:
        "For one input, or one output. Where there are more texts, short ones are judged together; what is still too much is refused.",
    }),
    ...windowSettings,
  })
  .refine(
    ({ model, deployment }) => (model === undefined) !== (deployment === undefined),
    "needs either `model` or `deployment`",
  )
  .refine(
    ({ textField, imageField }) => textField !== null || imageField !== null,
    "needs `textField` or `imageField`: nothing would be judged",
  );
export type GuardConfig = z.output<typeof ConfigSchema>;

export function referenceOf({ model, deployment }: GuardConfig): ModelReference {
  return deployment === undefined ? { model: model ?? "" } : { deployment };
}
