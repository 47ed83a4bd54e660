/**
 * What an account does to its models: make, describe, delete. What is deleted stays as a mark without content, so that
 * a pool that goes on offering the same files doesn't bring it back; a new version of the model, or making it anew,
 * does.
 */
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import { NameSchema } from "../contract/manifest.ts";
import { ModelConfigurationSchema } from "../contract/model-configuration.ts";
import { numericVar } from "../contract/numeric-vars.ts";
import type { Env } from "../env.ts";
import { forgetModel, visibilities } from "./models.ts";
import { hasRoom, quotaExceeded } from "./quotas.ts";
import type { QuotaVars } from "./quotas.ts";
import { saveReadme } from "./readmes.ts";

const MAX_URL_CHARS = 2048;
const MAX_README_CHARS = 256 * 1024;

/** A kind of hardware, as `GET /v1/hardware` names it. One that no pool has reported yet will do: pools come and go. */
export const SkuSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,63}$/, "lower-case letters, digits and hyphens, at most 64")
  .meta({ description: "A kind of hardware, such as `cpu`; `GET /v1/hardware` lists what pools have reported." });

/** Narrower than what pools may bring. */
export const NewNameSchema = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/,
    "lower-case letters, digits, '.', '_' and '-'; must begin and end with a letter or a digit",
  );

const LinkSchema = z
  .url({ protocol: /^https?$/, error: "must be an http(s) URL" })
  .max(MAX_URL_CHARS)
  .nullish();

const described = {
  description: z.string().max(4096).nullish(),
  readme: z.string().max(MAX_README_CHARS).nullish().meta({ description: "Markdown." }),
  github_url: LinkSchema,
  paper_url: LinkSchema,
  license_url: LinkSchema,
  weights_url: LinkSchema,
  cover_image_url: LinkSchema,
};

export const NewModelSchema = z
  .object({
    owner: NameSchema.meta({ description: "The name of the account that asks." }),
    name: NewNameSchema,
    visibility: z.enum(visibilities),
    hardware: SkuSchema,
    ...described,
  })
  .meta({ id: "NewModel" });
export type NewModel = z.output<typeof NewModelSchema>;

export const ModelChangeSchema = z
  .object({
    visibility: z.enum(visibilities).optional(),
    hardware: SkuSchema.optional(),
    configuration: ModelConfigurationSchema.nullish().meta({
      description: "What holds in place of what the model's files say, as a whole; null: nothing.",
    }),
    ...described,
  })
  .meta({ id: "ModelChange" });
export type ModelChange = z.output<typeof ModelChangeSchema>;

type ModelName = { owner: string; name: string };
type Stores = Pick<Env, "DB" | "BLOBS">;

/** The columns that a change may name; their names are those of the schema. The readme lies in the bucket. */
const { readme: _readme, ...columns } = described;
const CHANGEABLE = [
  "visibility",
  "hardware",
  "configuration",
  ...(Object.keys(columns) as (keyof typeof columns)[]),
] as const;

/**
 * Makes a model without a version. Throws `already_exists` when the owner has one of that name, and `quota_exceeded`.
 */
export async function createModel(env: QuotaVars & Stores, model: NewModel): Promise<void> {
  const db = env.DB;
  const { owner, name } = model;
  const now = Date.now();
  const [made] = await db.batch<{ name: string }>([
    db
      .prepare(
        `INSERT INTO models (owner, name, description, created_at, updated_at, visibility, hardware, github_url, paper_url,
           license_url, weights_url, cover_image_url)
         SELECT ?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 WHERE ${hasRoom(env, "models", "?1")}
         ON CONFLICT DO UPDATE SET description = ?3, created_at = ?4, updated_at = ?4, visibility = ?5, hardware = ?6,
           github_url = ?7, paper_url = ?8, license_url = ?9, weights_url = ?10, cover_image_url = ?11, latest_version = NULL,
           deleted_at = NULL
         WHERE deleted_at IS NOT NULL RETURNING name`,
      )
      .bind(
        owner,
        name,
        model.description ?? "",
        now,
        model.visibility,
        model.hardware,
        model.github_url ?? null,
        model.paper_url ?? null,
        model.license_url ?? null,
        model.weights_url ?? null,
        model.cover_image_url ?? null,
      ),
    db
      .prepare(
        "DELETE FROM versions WHERE owner = ?1 AND name = ?2 AND deleted_at IS NOT NULL AND ?3 = (SELECT created_at FROM models WHERE owner = ?1 AND name = ?2)",
      )
      .bind(owner, name, now),
  ]);
  if (made?.results.length !== 1) {
    const isThere = db.prepare("SELECT 1 AS there FROM models WHERE owner = ? AND name = ? AND deleted_at IS NULL");
    if ((await isThere.bind(owner, name).first("there")) === null) throw quotaExceeded(env, "models");
    throw new EdgeplaneError("already_exists", "A model with that name and owner already exists.");
  }
  if (model.readme !== undefined && model.readme !== null) await saveReadme(env, model, model.readme);
  forgetModel(model);
}

/** Changes what the change names, and leaves the rest. The caller has checked whose model it is. */
export async function updateModel(env: Stores, model: ModelName, change: ModelChange): Promise<void> {
  const named = CHANGEABLE.filter((column) => change[column] !== undefined);
  const assignments = named.map((column, index) => `${column} = ?${index + 4}`);
  await env.DB.prepare(
    `UPDATE models SET ${["updated_at = ?3", ...assignments].join(", ")} WHERE owner = ?1 AND name = ?2`,
  )
    .bind(model.owner, model.name, Date.now(), ...named.map((column) => columnOf(change, column)))
    .run();
  if (change.readme !== undefined) await saveReadme(env, model, change.readme);
  forgetModel(model);
}

function columnOf(change: ModelChange, column: (typeof CHANGEABLE)[number]): string | null {
  if (column === "description") return change.description ?? "";
  if (column !== "configuration") return change[column] ?? null;
  return change.configuration === null || change.configuration === undefined
    ? null
    : JSON.stringify(change.configuration);
}

/** Deletes a model. Throws `conflict` unless it is private and has no version. */
export async function deleteModel(env: QuotaVars & Stores, model: ModelName): Promise<void> {
  const { owner, name } = model;
  const now = Date.now();
  const marked = env.DB.prepare(
    `UPDATE models SET deleted_at = ?3, description = '', github_url = NULL, paper_url = NULL, license_url = NULL,
         weights_url = NULL, cover_image_url = NULL, configuration = NULL, routes = NULL, latest_version = NULL
       WHERE owner = ?1 AND name = ?2 AND deleted_at IS NULL AND visibility = 'private'
         AND NOT EXISTS (SELECT 1 FROM versions WHERE owner = ?1 AND name = ?2 AND deleted_at IS NULL)`,
  ).bind(owner, name, now);
  const isDeleted = "EXISTS (SELECT 1 FROM models WHERE owner = ?1 AND name = ?2 AND deleted_at = ?3)";
  const [deleted] = await env.DB.batch([
    marked,
    ...["model_secrets", "aliases", "alias_moves", "canaries"].map((table) =>
      env.DB.prepare(`DELETE FROM ${table} WHERE owner = ?1 AND name = ?2 AND ${isDeleted}`).bind(owner, name, now),
    ),
  ]);
  if (deleted?.meta.changes === 0) {
    throw new EdgeplaneError(
      "conflict",
      "Only a private model without versions can be deleted: delete its versions first.",
    );
  }
  await saveReadme(env, model, null);
  await oldMarks(env, "models", model.owner).run();
  forgetModel(model);
}

/**
 * Deletes the oldest of an owner's marks, beyond as many as it may have models or versions: who makes and deletes
 * without end leaves no more.
 */
export function oldMarks(
  env: QuotaVars & Pick<Env, "DB">,
  table: "models" | "versions",
  owner: string,
): D1PreparedStatement {
  const [quota, key] =
    table === "models" ? (["QUOTA_MODELS", "owner, name"] as const) : (["QUOTA_VERSIONS", "owner, name, id"] as const);
  return env.DB.prepare(
    `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE owner = ? AND deleted_at IS NOT NULL
       ORDER BY deleted_at DESC LIMIT -1 OFFSET ?)`,
  ).bind(owner, numericVar(env, quota));
}
