/** Models and versions as Replicate's clients read them, with our additions. */
import * as z from "zod";
import { ManifestSchema } from "../../contract/manifest.ts";
import { ModelConfigurationSchema } from "../../contract/model-configuration.ts";
import { JsonSchema } from "../../contract/prediction.ts";
import { VersionStateSchema } from "../../contract/push.ts";
import { visibilities } from "../../registry/models.ts";
import type { Model, Version } from "../../registry/models.ts";
import { stateOf } from "../../registry/version-state.ts";
import type { OwnersView } from "../../registry/version-state.ts";

/** The Cog whose schemas ours are like; Replicate's Python client demands one. */
const COG_VERSION = "0.17.0";
/** Stands for the schema of a version that never loaded: clients demand a document. */
const UNKNOWN_SCHEMA = {
  openapi: "3.0.2",
  info: { title: "Cog", version: "0.1.0" },
  paths: {},
  components: { schemas: { Input: { title: "Input", type: "object" }, Output: { title: "Output" } } },
};

export const VersionSchema = z
  .object({
    id: z.string().meta({ description: "64 hexadecimal digits." }),
    created_at: z.iso.datetime(),
    cog_version: z.string(),
    openapi_schema: z
      .record(z.string(), JsonSchema)
      .meta({ description: "Describes input and output, in Cog's shape." }),
    schema_known: z.boolean().meta({
      description:
        "False until a pool has loaded the version once, and in lists where it says more than 64 Ki characters of itself.",
    }),
    lane: z.string(),
    max_batch_size: z.number().int(),
    start_timeout_s: z.number(),
    timeout_s: z.number(),
    streams: ManifestSchema.shape.streams.unwrap(),
    edgeplane: VersionStateSchema,
  })
  .meta({ id: "Version" });

export const ModelSchema = z
  .object({
    url: z.string(),
    owner: z.string(),
    name: z.string(),
    description: z.string(),
    visibility: z.enum(visibilities),
    hardware: z.string().nullable(),
    is_official: z.boolean(),
    github_url: z.string().nullable(),
    paper_url: z.string().nullable(),
    license_url: z.string().nullable(),
    weights_url: z.string().nullable(),
    cover_image_url: z.string().nullable(),
    run_count: z.number().int().meta({ description: "Predictions made with it, by all accounts." }),
    default_example: z.null(),
    configuration: ModelConfigurationSchema.nullable().meta({
      description: "What its owner says in place of what its files say of how it runs.",
    }),
    created_at: z.iso.datetime(),
    latest_version: VersionSchema.nullable(),
  })
  .meta({ id: "Model" });

export function showModel(model: Model, origin: string): z.output<typeof ModelSchema> {
  return {
    url: `${origin}/v1/models/${model.owner}/${model.name}`,
    owner: model.owner,
    name: model.name,
    description: model.description,
    visibility: model.visibility,
    hardware: model.hardware,
    is_official: false,
    github_url: model.githubUrl,
    paper_url: model.paperUrl,
    license_url: model.licenseUrl,
    weights_url: model.weightsUrl,
    cover_image_url: model.coverImageUrl,
    run_count: model.runCount,
    default_example: null,
    configuration: model.configuration,
    created_at: new Date(model.createdAt).toISOString(),
    latest_version: model.latest === null ? null : showVersion(model.latest),
  };
}

/** `owners`: what only its owner is shown. */
export function showVersion(version: Version, owners?: OwnersView): z.output<typeof VersionSchema> {
  const { manifest, createdAt } = version;
  return {
    id: manifest.version,
    created_at: new Date(createdAt).toISOString(),
    cog_version: COG_VERSION,
    openapi_schema: manifest.schema ?? UNKNOWN_SCHEMA,
    schema_known: manifest.schema !== null,
    lane: manifest.lane,
    max_batch_size: manifest.maxBatchSize,
    start_timeout_s: manifest.startTimeoutMs / 1000,
    timeout_s: manifest.totalTimeoutMs / 1000,
    streams: manifest.streams,
    edgeplane: stateOf(version, owners),
  };
}
