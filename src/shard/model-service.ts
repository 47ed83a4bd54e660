/**
 * Asks models of the pools on a plugin's behalf. A question is a prediction like any other: stored by its shard,
 * ordered by its lane, run by a pool. It is of no list, no plugin screens it, and its data goes a minute after its end.
 */
import * as z from "zod";
import type { AskedModel, ModelQuestion, ModelReference, ModelService } from "../../plugins/kernel/services.ts";
import { modelPath } from "../contract/manifest.ts";
import type { Manifest } from "../contract/manifest.ts";
import { newPredictionId } from "../contract/ids.ts";
import { isTerminal } from "../contract/prediction.ts";
import type { Json, PredictionSnapshot } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import { findAccount } from "../registry/accounts.ts";
import { findDeployment } from "../registry/deployments.ts";
import { findVersion, modelsOnLane } from "../registry/models.ts";
import { findPointer, LATEST } from "../registry/pointers.ts";
import { INLINE_INPUT_BYTES, inputBlobKey, putInputOnce } from "../storage/blobs.ts";
import { readPicture } from "../storage/pictures.ts";
import { shardCount, submit, waitForPrediction } from "./client.ts";
import { bytesWithin } from "./sizes.ts";
import type { Submission } from "./types.ts";

/** How long a question's data is kept after its end. */
const RETENTION_MS = 60_000;
/** Between two looks at a question whose shard holds as many calls as it may. */
const LOOK_EVERY_MS = 100;

export function createModelService(env: Env): ModelService {
  return {
    find: (reference) => findAsked(env.DB, reference),
    onLane: (lane, limit) => modelsOnLane(env.DB, lane, limit),
    ask: (question) => ask(env, question),
    picture: (id, link) => readPicture(env.BLOBS, id, link),
  };
}

async function findAsked(db: D1Database, reference: ModelReference): Promise<AskedModel | null> {
  if ("deployment" in reference) return findDeployed(db, reference.deployment);
  const [, owner = "", name = "", version] = /^([^/:]+)\/([^/:]+)(?::(.+))?$/.exec(reference.model) ?? [];
  const viewer = { accountName: owner };
  const model = { owner, name };
  const byVersion = version === undefined ? null : await findVersion(db, viewer, model, version);
  const found = byVersion ?? (await findPointer(db, viewer, model, version ?? LATEST));
  return found === null || found === undefined ? null : askedOf(found.manifest);
}

async function findDeployed(db: D1Database, reference: string): Promise<AskedModel | null> {
  const [account = "", name = ""] = reference.split("/");
  const owner = await findAccount(db, account);
  const deployment = owner === null ? null : await findDeployment(db, owner.id, name);
  if (owner === null || deployment === null) return null;
  const found = await findVersion(db, { accountName: owner.name }, deployment.model, deployment.version);
  if (found === null) return null;
  const asked = askedOf(found.manifest);
  return { ...asked, minInstances: Math.max(asked.minInstances, deployment.minInstances) };
}

function askedOf({ owner, name, version, lane, minInstances, streams, schema }: Manifest): AskedModel {
  return { ref: { owner, name, version }, lane, minInstances, iterates: streams !== "no", fields: fieldsOf(schema) };
}

const InputSchema = z.looseObject({
  components: z.looseObject({
    schemas: z.looseObject({ Input: z.looseObject({ properties: z.record(z.string(), z.unknown()) }) }),
  }),
});

/** Null where the version's schema is not known, or says of none. */
function fieldsOf(schema: Manifest["schema"]): string[] | null {
  const parsed = InputSchema.safeParse(schema);
  return parsed.success ? Object.keys(parsed.data.components.schemas.Input.properties) : null;
}

async function ask(env: Env, question: ModelQuestion): Promise<Json> {
  const { model, timeoutMs } = question;
  const until = Date.now() + timeoutMs;
  const prediction = await untilEnded(env, await submissionOf(env, question), until);
  const name = modelPath(model.ref);
  if (prediction.status !== "succeeded") {
    const why = isTerminal(prediction.status) ? (prediction.error?.code ?? prediction.status) : "timed_out";
    throw new Error(`the model ${name} gave no answer: ${why}`);
  }
  if (prediction.outputBlob !== null) throw new Error(`the answer of the model ${name} is too large`);
  return prediction.output;
}

async function untilEnded(env: Env, submission: Submission, until: number): Promise<PredictionSnapshot> {
  const answer = await submit(env, submission, Math.max(0, until - Date.now()));
  if (answer.outcome === "full")
    throw new Error(`${answer.limit} questions about the account's predictions wait, as many as may`);
  if (answer.outcome === "conflict") throw new Error("the question could not be asked");
  let { prediction } = answer;
  while (!isTerminal(prediction.status) && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    const leftMs = Math.max(0, until - Date.now());
    prediction = (await waitForPrediction(env, submission.id, null, leftMs)) ?? prediction;
  }
  return prediction;
}

async function submissionOf(env: Env, question: ModelQuestion): Promise<Submission> {
  const { model, input, plugin, guarded, payer, timeoutMs } = question;
  const id = newPredictionId(shardCount(env));
  const text = JSON.stringify(input);
  const inputBlob = bytesWithin(text, INLINE_INPUT_BYTES) ? null : inputBlobKey(id);
  if (inputBlob !== null) await putInputOnce(env.BLOBS, inputBlob, text, "");
  return {
    ...{ id, accountId: payer, model: model.ref, lane: model.lane, priority: "high", cost: 1, weight: guarded.weight },
    ...{ input: inputBlob === null ? input : null, inputBlob, payloadHash: "", keyed: false },
    ...{ startTimeoutMs: timeoutMs, totalTimeoutMs: timeoutMs, cancelAfterMs: null, retentionMs: RETENTION_MS },
    ...{ webhook: null, webhookEvents: [], stream: false, iterates: model.iterates },
    ...{ resumesDeterministically: false, origin: "", source: "api", traceparent: null },
    ...{ replayOf: null, deployment: null },
    question: { plugin, guarded: guarded.accountId },
  };
}
