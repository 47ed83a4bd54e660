/** The prediction that a path names: by our id, or by the id that the client gave it. */
import { derivedPredictionId, isPredictionId } from "../../contract/ids.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { PredictionSnapshot } from "../../contract/prediction.ts";
import { numericVar } from "../../contract/numeric-vars.ts";
import { keyFor } from "../../contract/signing.ts";
import type { AppContext } from "../app.ts";
import { ownKey } from "./submission.ts";

/** The form of an id that a client may choose with `PUT`. */
export const OWN_ID = /^[A-Za-z0-9._~-]{1,128}$/;

/** Finds the account's prediction that the path names: by our id, or by the id that the client gave it with `PUT`. */
export async function findOwn(
  c: AppContext,
  find: (id: string) => Promise<PredictionSnapshot | null>,
): Promise<PredictionSnapshot> {
  const named = c.req.param("id") ?? "";
  const shards = numericVar(c.env, "SHARD_COUNT");
  const direct = isPredictionId(named, shards) ? await find(named) : null;
  if (direct !== null) return direct;
  const derived = await find(await idOfOwn(c, named));
  if (derived !== null) return derived;
  throw noSuchPrediction();
}

/** The id that the account's own id of a `PUT` stands for. Throws `not_found` for what can't be one. */
export async function idOfOwn(c: AppContext, ownId: string): Promise<string> {
  if (!OWN_ID.test(ownId)) throw noSuchPrediction();
  const key = await keyFor(c.env.EDGEPLANE_SECRET, "ids");
  return derivedPredictionId(key, c.get("principal").accountId, ownKey(ownId), numericVar(c.env, "SHARD_COUNT"));
}

function noSuchPrediction(): EdgeplaneError {
  return new EdgeplaneError("not_found", "There is no such prediction.");
}
