/** A prediction as Replicate's clients read it, with our additions. https://replicate.com/docs/reference/http#predictions.get */
import { isTerminal } from "./prediction.ts";
import type { Json, PredictionSnapshot } from "./prediction.ts";
import { signLink } from "./signed-links.ts";

/** How long a link to a stream works after the prediction's deadline. */
const STREAM_GRACE_MS = 3_600_000;

export type PredictionView = {
  id: string;
  model: string;
  version: string;
  input: Json;
  output: Json;
  logs: string;
  error: string | null;
  /** One of the error table's codes, beside the message in `error`. */
  error_code: string | null;
  status: string;
  source: string;
  data_removed: boolean;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
  deadline: string;
  start_deadline: string;
  priority: string;
  attempt: number;
  metrics: { [key: string]: Json };
  /** Present until it is finished: how many are ahead, and when it should start. */
  queue?: { position: number | null; eta_ms: number | null; etaMs: number | null };
  webhook?: string;
  replay_of?: string;
  urls: { get: string; cancel: string; stream?: string; web?: string };
};

/** What a link to a stream is signed over. */
export function streamResource(id: string): string {
  return `prediction ${id}`;
}

/**
 * Shows a prediction; what `GET` answers and webhooks carry. `secret` is the deployment's: it signs the link to the stream. An
 * input or output that is a blob is shown as null.
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
    view.queue = { position: place?.position ?? null, eta_ms: place?.etaMs ?? null, etaMs: place?.etaMs ?? null };
  }
  if (prediction.webhook !== null) view.webhook = prediction.webhook;
  if (prediction.replayOf !== null) view.replay_of = prediction.replayOf;
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
