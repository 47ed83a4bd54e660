/** The model that a path names, as far as the caller may know of it. */
import { EdgeplaneError } from "../../contract/errors.ts";
import { findModel } from "../../registry/models.ts";
import type { Model } from "../../registry/models.ts";
import type { AppContext } from "../app.ts";

type ModelName = { owner: string; name: string };

/** Finds the model. Throws `model_not_found`, for another account's private one too. */
export async function modelOf(c: AppContext, path: ModelName): Promise<Model> {
  const model = await findModel(c.env.DB, c.get("principal"), path);
  if (model === null) throw new EdgeplaneError("model_not_found", "The model does not exist here.");
  return model;
}

/** The same, for who wants to change it. Throws `forbidden` when it is another account's. */
export async function ownModelOf(c: AppContext, path: ModelName): Promise<Model> {
  const model = await modelOf(c, path);
  if (model.owner === c.get("principal").accountName) return model;
  throw new EdgeplaneError("forbidden", "Only the account that owns the model may change it.");
}
