/**
 * A prediction as Replicate's clients read it, with our additions.
 * https://replicate.com/docs/reference/http#predictions.get
 */
import * as z from "zod";
import { isTerminal, JsonSchema, PrioritySchema, StatusSchema } from "./prediction.ts";
import type { Json, PredictionSnapshot, QueuePlace } from "./prediction.ts";
import { CostViewSchema } from "./price.ts";
import { signLink } from "./signed-links.ts";
import { VerdictRecordSchema } from "./verdict.ts";

/** How long a link to a stream works after the prediction's deadline. */
const STREAM_GRACE_MS = 3_600_000;

const EtaEstimateSchema = z.object({
  machine_ms: z.number().meta({ description: "Until a machine is rented and has booted; 0 once one is there." }),
  setup_ms: z.number().nullable().meta({
    description:
      "From then on, until environment, weights and set-up are done. Null: none was seen, and `eta_ms` is without it.",
  }),
  turn_ms: z.number().meta({ description: "From then on, until those before it have had their turn." }),
  least_ms: z.number().meta({ description: "When it starts at the earliest, as far as is likely." }),
  most_ms: z.number().nullable().meta({ description: "At the latest; null: nobody can say." }),
});

export const PredictionViewSchema = z
  .object({
    id: z.string().meta({ examples: ["0c1vp1s0a0q6r9v8t0jrb6k2e4"] }),
    model: z.string().meta({ description: "`owner/name`." }),
    version: z.string(),
    input: JsonSchema.meta({ description: "As it was sent; null once it was removed, or in a list when it is large." }),
    output: JsonSchema.meta({ description: "As the model's schema has it; null until there is some." }),
    logs: z.string(),
    error: z.string().nullable(),
    error_code: z
      .string()
      .nullable()
      .meta({ description: "One of the codes of errors, beside the message in `error`." }),
    status: StatusSchema,
    source: z.enum(["api", "web"]),
    data_removed: z.boolean(),
    created_at: z.iso.datetime(),
    started_at: z.iso.datetime().nullable(),
    completed_at: z.iso.datetime().nullable(),
    deadline: z.iso.datetime().meta({ description: "When it ends at the latest." }),
    start_deadline: z.iso.datetime().meta({ description: "When it must have started; else it ends as `aborted`." }),
    priority: PrioritySchema,
    attempt: z.number().int().meta({ description: "How often it was started." }),
    metrics: z
      .record(z.string(), JsonSchema)
      .meta({ description: "`predict_time` and `total_time` in seconds, and the model's own." }),
    queue: z
      .object({
        position: z
          .number()
          .int()
          .nullable()
          .meta({ description: "How many start before it; null while no pool serves its version." }),
        eta_ms: z.number().nullable().meta({
          description: "In how many milliseconds it should start: an estimate. Null while nobody can say.",
        }),
        etaMs: z.number().nullable().meta({ description: "The same." }),
        ahead: z
          .object({
            own: z.number().int().meta({ description: "Of your own account, same model and priority." }),
            shared: z.number().int().meta({ description: "Of others, same priority." }),
            priority: z.number().int().meta({ description: "Of other priorities." }),
          })
          .nullable()
          .meta({ description: "Who starts before it." }),
        estimate: EtaEstimateSchema.optional().meta({
          description: "While no instance of its version is ready: what `eta_ms` is made of, and how sure it is.",
        }),
      })
      .optional()
      .meta({ description: "Its place, until it is finished." }),
    cost: CostViewSchema.optional().meta({ description: "Where its model has a price." }),
    webhook: z.string().optional(),
    replay_of: z.string().optional(),
    verdicts: z.array(VerdictRecordSchema).optional().meta({
      description: "What plugins decided over it: of one prediction that is read, by a key with `verdicts:read`.",
    }),
    deployment: z.string().optional().meta({ description: "`owner/name` of the deployment that chose the version." }),
    urls: z.object({
      get: z.string(),
      cancel: z.string(),
      stream: z.string().optional().meta({ description: "A signed link to its events." }),
      web: z.string().optional(),
    }),
  })
  .meta({ id: "Prediction" });
export type PredictionView = z.output<typeof PredictionViewSchema>;

/** A prediction in a list: its logs are read one by one. */
export const ListedPredictionSchema = PredictionViewSchema.omit({ logs: true }).meta({
  id: "ListedPrediction",
  description: "A prediction, without its logs.",
});
export type ListedPrediction = z.output<typeof ListedPredictionSchema>;

/** What a link to a stream is signed over. */
export function streamResource(id: string): string {
  return `prediction ${id}`;
}

/**
 * Shows a prediction; what `GET` answers and webhooks carry. `secret` is the deployment's: it signs the link to the
 * stream. An input or output that is a blob is shown as null.
 */
export async function presentPrediction(prediction: PredictionSnapshot, secret: string): Promise<PredictionView> {
  const { id, origin, model, error } = prediction;
  const self = `${origin}/v1/predictions/${id}`;
  const view: PredictionView = {
    id,
    model: `${model.owner}/${model.name}`,
    version: model.version,
    input: prediction.input,
    output: prediction.output,
    logs: prediction.logs,
    error: error?.message ?? null,
    error_code: error?.code ?? null,
    status: prediction.status,
    source: prediction.source,
    data_removed: prediction.input === null && prediction.inputBlob === null,
    created_at: isoTime(prediction.createdAt),
    started_at: prediction.startedAt === null ? null : isoTime(prediction.startedAt),
    completed_at: prediction.completedAt === null ? null : isoTime(prediction.completedAt),
    deadline: isoTime(prediction.endBy),
    start_deadline: isoTime(prediction.startBy),
    priority: prediction.priority,
    attempt: prediction.attempt,
    metrics: metricsOf(prediction),
    urls: { get: self, cancel: `${self}/cancel` },
  };
  if (!isTerminal(prediction.status)) {
    const place = prediction.queue;
    const { position, etaMs, ahead, estimate } = place ?? { position: null, etaMs: null, ahead: null };
    view.queue = { position, eta_ms: etaMs, etaMs, ahead };
    if (estimate !== undefined) view.queue.estimate = estimateView(estimate);
  }
  if (prediction.cost !== undefined) view.cost = prediction.cost;
  if (prediction.webhook !== null) view.webhook = prediction.webhook;
  if (prediction.replayOf !== null) view.replay_of = prediction.replayOf;
  if (prediction.deployment !== null) view.deployment = prediction.deployment;
  if (prediction.stream) {
    const query = await signLink(secret, "stream", streamResource(id), prediction.endBy + STREAM_GRACE_MS);
    view.urls.stream = `${self}/stream?${query}`;
  }
  return view;
}

/** `total_time` is Replicate's: from creation to completion, in seconds. */
function metricsOf(prediction: PredictionSnapshot): { [key: string]: Json } {
  if (prediction.completedAt === null) return prediction.metrics;
  return { ...prediction.metrics, total_time: (prediction.completedAt - prediction.createdAt) / 1000 };
}

function isoTime(at: number): string {
  return new Date(at).toISOString();
}

function estimateView(estimate: NonNullable<QueuePlace["estimate"]>): z.output<typeof EtaEstimateSchema> {
  const { machineMs, setupMs, turnMs, leastMs, mostMs } = estimate;
  return { machine_ms: machineMs, setup_ms: setupMs, turn_ms: turnMs, least_ms: leastMs, most_ms: mostMs };
}
