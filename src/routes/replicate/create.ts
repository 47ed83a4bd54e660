/** Accepts a prediction: from a client's request to the shard's answer. Every dialect of creating one ends here. */
import { EdgeplaneError } from "../../contract/errors.ts";
import type { ModelConfiguration } from "../../contract/model-configuration.ts";
import { presentPrediction } from "../../contract/present.ts";
import { isTerminal } from "../../contract/prediction.ts";
import type { Json, PredictionSnapshot, Priority } from "../../contract/prediction.ts";
import type { Version } from "../../registry/models.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import type { AppContext, ShardPort } from "../app.ts";
import { clientIpOf } from "../client-ip.ts";
import { acceptSubmission } from "./accept.ts";
import { checkRequest } from "./check-request.ts";
import type { Accepted } from "./accept.ts";
import type { CreateBody, CreateHeader } from "./create-body.ts";
import { chooseVersion } from "./choose-version.ts";
import type { Chosen } from "./choose-version.ts";
import { parseReference } from "./find-target.ts";
import type { Reference } from "./find-target.ts";
import { holdUntilFinished } from "./held-answer.ts";
import { inKnownStatus } from "./known-statuses.ts";
import { giveBack, screenCall } from "./screen-call.ts";
import type { ScreenedCall } from "./screen-call.ts";
import { openEventStream } from "./stream.ts";
import { clientKey, identify, toSubmission } from "./submission.ts";
import type { AcceptedCall, Identity } from "./submission.ts";
import { answerWhole, showWhole } from "./view.ts";
import type { WholeView } from "./view.ts";

const DEFAULT_COST = 1;
const DEFAULT_PRIORITY: Priority = "normal";

/**
 * `ownId` is the id of a `PUT`; `reference` the model that the path names, or that the `deployment` (`owner/name`)
 * names; `configuration` what that deployment says of its predictions.
 */
export type CreateOptions = {
  body: CreateBody;
  header: CreateHeader;
  reference?: Reference;
  ownId?: string;
  deployment?: string;
  configuration?: ModelConfiguration | null;
};

/**
 * Creates the prediction that `body` and `header` ask for and answers it: 201 with the prediction, 202 when the
 * client chose or ran out of waiting, an event stream when it accepts nothing else. Throws `EdgeplaneError`.
 */
export async function createPrediction(c: AppContext, shard: ShardPort, options: CreateOptions): Promise<Response> {
  const { body, header } = options;
  const prefer = header.Prefer;
  const streams = acceptsOnlyEvents(c.req.header("accept"));
  const waitMs = streams ? 0 : prefer.waitMs;
  const { input, accept } = await prepare(c, shard, options, streams);
  const show = (prediction: PredictionSnapshot) => shown(c, answered(inKnownStatus(c, prediction), waitMs), input);

  if (body.cancel_on_disconnect === true && waitMs > 0) {
    const { prediction } = await accept(0);
    return holdUntilFinished(c, shard, prediction, waitMs, show);
  }
  const answer = await accept(waitMs);
  if (streams) {
    const { id } = answer.prediction;
    return openEventStream(c, shard, id, "cog", header["Last-Event-ID"]).catch(async (thrown: unknown) => {
      // The client takes it for refused. Without a key of its own it can't come back to what runs, and pays for it.
      const isLost = answer.created && clientKey(options.ownId, header["Idempotency-Key"]) === null;
      if (isLost) await cancelLost(c, shard, id);
      throw thrown;
    });
  }
  const whole = await show(answer.prediction);
  const waiting = !isTerminal(answer.prediction.status) && (prefer.async || waitMs > 0);
  return answerWhole(c, whole, waiting ? 202 : answer.created || options.ownId === undefined ? 201 : 200, {
    location: whole.view.urls.get,
    ...(answer.created ? {} : { "idempotent-replayed": "true" }),
  });
}

async function cancelLost(c: AppContext, shard: ShardPort, id: string): Promise<void> {
  await shard.cancelPrediction(c.env, id, c.get("principal").accountId).catch((thrown: unknown) => {
    log.warn("lost_not_canceled", { requestId: c.get("requestId"), predictionId: id, reason: reasonOf(thrown) });
  });
}

/**
 * A prediction that can be accepted: `accept` does so, and waits for its end. `input`: as it was screened, if it was.
 */
type Prepared = { input: Json | null; accept(waitMs: number): Promise<Accepted> };

async function prepare(c: AppContext, shard: ShardPort, options: CreateOptions, streams: boolean): Promise<Prepared> {
  const { body, header } = options;
  const reference = options.reference ?? referenceOf(body);
  const { deployment = null, configuration = null } = options;
  const key = clientKey(options.ownId, header["Idempotency-Key"]);
  const identity = await identify(c, { key, body, reference: deployment ?? reference });
  let chosen: Chosen;
  let screened: ScreenedCall;
  try {
    const principal = c.get("principal");
    const header = (name: string) => c.req.header(name);
    const asking = { principal, predictionId: identity.id, deployment: nameOf(deployment), header };
    chosen = await chooseVersion(c.env.DB, reference, asking);
    const { version } = chosen;
    checkRequest(principal, version, body.input, body.priority ?? DEFAULT_PRIORITY);
    screened = await screenCall(c, version, (one) => callOf(c, options, one, identity.id));
    // What a plugin chose is no part of a canary.
    if (screened.version !== version) chosen = { version: screened.version, canary: null };
  } catch (error) {
    if (!identity.keyed || !(await isAccepted(c, shard, identity))) throw error;
    return { input: null, accept: (waitMs) => acceptedBefore(c, shard, identity.id, waitMs) };
  }
  const cancelAfterMs = header["Cancel-After"] ?? null;
  const runLimitMs = configuration?.predictTimeoutMs;
  const accepting = { body, chosen, screened, identity, cancelAfterMs, deployment, runLimitMs, streams };
  const submission = await toSubmission(c, accepting).catch((error: unknown) => {
    giveBack(c, screened.call, screened.reservations);
    throw error;
  });
  return {
    input: screened.call.input,
    accept: async (waitMs) => {
      try {
        const accepted = await acceptSubmission(c, shard, submission, waitMs);
        if (!accepted.created) giveBack(c, screened.call, screened.reservations);
        return accepted;
      } catch (error) {
        // What was not refused may have been stored: then its shard gives back what was reserved, else its service.
        if (error instanceof EdgeplaneError) giveBack(c, screened.call, screened.reservations);
        throw error;
      }
    },
  };
}

/**
 * The same request was accepted earlier. It is answered by its prediction, whatever has become of the model since, or
 * of what plugins let through.
 */
function isAccepted(c: AppContext, shard: ShardPort, { id, payloadHash }: Identity): Promise<boolean> {
  return shard.isAccepted(c.env, id, c.get("principal").accountId, payloadHash);
}

async function acceptedBefore(c: AppContext, shard: ShardPort, id: string, waitMs: number): Promise<Accepted> {
  const prediction = await shard.waitForPrediction(c.env, id, c.get("principal").accountId, waitMs);
  if (prediction === null) throw new EdgeplaneError("not_found", "There is no such prediction any more.");
  return { prediction, created: false };
}

/** The accepted prediction; its input is at hand (unless it was removed since), an output that is a blob is not. */
async function shown(c: AppContext, prediction: PredictionSnapshot, input: Json | null): Promise<WholeView> {
  if (prediction.outputBlob !== null || input === null) return showWhole(c.env, prediction);
  const isRemoved = prediction.input === null && prediction.inputBlob === null;
  const filled = isRemoved ? prediction : { ...prediction, input };
  return { view: await presentPrediction(filled, c.env.EDGEPLANE_SECRET), large: {} };
}

/**
 * Replicate's clients take any answer to a waiting call that isn't `starting` for a finished one: a prediction that
 * still runs when the wait is over is therefore answered as `starting`. It has no output then: PyPI's `run` yields only
 * what comes behind the output of this answer.
 */
function answered(prediction: PredictionSnapshot, waitMs: number): PredictionSnapshot {
  const isStarting = prediction.status === "starting" || (waitMs > 0 && prediction.status === "processing");
  return isStarting ? { ...prediction, status: "starting", output: null } : prediction;
}

/** Of `owner/name`. */
function nameOf(deployment: string | null): string | null {
  return deployment === null ? null : deployment.slice(deployment.indexOf("/") + 1);
}

function referenceOf(body: CreateBody): Reference {
  const text = body.version ?? body.model;
  if (text !== undefined && text !== null) return parseReference(text);
  throw new EdgeplaneError("invalid_input", "- version: is required, unless `model` is given\n", {
    invalidFields: [{ field: "version", description: "is required, unless `model` is given" }],
  });
}

function callOf(
  c: AppContext,
  { body, configuration }: CreateOptions,
  { manifest }: Version,
  predictionId: string,
): AcceptedCall {
  return {
    requestId: c.get("requestId"),
    predictionId,
    principal: c.get("principal"),
    clientIp: clientIpOf(c),
    model: { owner: manifest.owner, name: manifest.name, version: manifest.version },
    lane: manifest.lane,
    priority: body.priority ?? DEFAULT_PRIORITY,
    cost: DEFAULT_COST,
    input: body.input,
    startTimeoutMs: body.start_timeout ?? configuration?.startTimeoutMs ?? manifest.startTimeoutMs,
    totalTimeoutMs: body.timeout ?? configuration?.totalTimeoutMs ?? manifest.totalTimeoutMs,
    ...(configuration?.predictTimeoutMs === undefined ? {} : { runLimitMs: configuration.predictTimeoutMs }),
    deterministic: manifest.deterministic,
  };
}

/** Whether a client wants events and can't read JSON. */
function acceptsOnlyEvents(accept: string | undefined): boolean {
  return accept !== undefined && accept.includes("text/event-stream") && !accept.includes("application/json");
}
