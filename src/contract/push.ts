/** The wire schemas of pushing a model, and of pools that fetch what was pushed. */
import * as z from "zod";
import { ShownPluginSchema } from "./attached-plugin.ts";
import { BundleSchema, Sha256Schema } from "./bundle.ts";
import { ManifestSchema } from "./manifest.ts";

/** Chunks that one question may name, and that one refusal names. */
export const MAX_ASKED_CHUNKS = 10_000;
export const NAMED_MISSING_CHUNKS = 100;
/** Versions that a pool is told of. */
export const MAX_DESIRED_MODELS = 400;
export const MAX_PROBLEM_CHARS = 8192;
export const MAX_PROBLEM_LOG_CHARS = 65_536;

/** `POST …/chunks/missing` */
export const MissingChunksRequestSchema = z
  .object({ chunks: z.array(Sha256Schema).max(MAX_ASKED_CHUNKS) })
  .meta({ id: "MissingChunksRequest" });
export const MissingChunksSchema = z
  .object({
    missing: z.array(Sha256Schema).meta({ description: "Each once, those of the question that have to be sent." }),
  })
  .meta({ id: "MissingChunks" });

/** What a pushed version says of itself; whose it is and its version follow from the address and the files. */
export const PushedManifestSchema = ManifestSchema.omit({ owner: true, name: true, version: true }).meta({
  id: "PushedManifest",
  description: "What the version says of itself. `schema` null: the first pool that sets it up reads it.",
});
export type PushedManifest = z.infer<typeof PushedManifestSchema>;

/** `POST …/versions` */
export const PushSchema = z
  .object({
    bundle: BundleSchema,
    manifest: PushedManifestSchema,
    latest: z
      .boolean()
      .default(true)
      .meta({ description: "Whether the version becomes the model's latest once it is live." }),
  })
  .meta({ id: "Push" });
export type Push = z.infer<typeof PushSchema>;

export const BundleSizeSchema = z
  .object({ bytes: z.int(), files: z.int() })
  .meta({ id: "BundleSize", description: "What was pushed, unpacked." });
export type BundleSize = z.infer<typeof BundleSizeSchema>;

export const versionStatuses = ["pending", "live", "failed"] as const;
export type VersionStatus = (typeof versionStatuses)[number];
export const problemStages = ["fetch", "build", "setup"] as const;

/** Of a version's view, beside Replicate's fields. */
export const VersionStateSchema = z
  .object({
    status: z.enum(versionStatuses).meta({
      description: "`pending`: no pool has set it up yet. `failed`: those that tried could not, and it has no schema.",
    }),
    problem: z.string().nullable().meta({ description: "Why it is not live, or what a pool reported last." }),
    stage: z.enum(problemStages).nullable().meta({ description: "Where what a pool reported last went wrong." }),
    log: z
      .string()
      .nullable()
      .meta({ description: "The last lines of that pool's log of it, for the owner; lists have none." }),
    bundle: BundleSizeSchema.nullable().meta({ description: "Null: pools have it as a folder." }),
    plugins: z.array(ShownPluginSchema).meta({ description: "Those that came with it, in the order of their turns." }),
    plugin_problem: z.string().nullable().meta({
      description: "For the owner: what last went wrong with one of them, and when; lists have none.",
    }),
  })
  .meta({ id: "VersionState" });
export type VersionState = z.infer<typeof VersionStateSchema>;

/** `GET /pool/v1/models`: the live ones first, and of those the newest. */
export const DesiredModelSchema = z.object({
  /** Without its schema. */
  manifest: ManifestSchema,
  bundle: BundleSizeSchema,
  /** Whether requests may come for it: it is the latest, or named by something, or waits for a pool to set it up. */
  isLive: z.boolean(),
  /** Nobody knows its schema yet: a pool sets it up to read it. An older edge doesn't say. */
  isPending: z.boolean().default(false),
  /** Milliseconds since the epoch; of a version that was pushed again, the last time: pools try it again then. */
  pushedAt: z.number().default(0),
});
export const DesiredModelsSchema = z.object({ models: z.array(DesiredModelSchema).max(MAX_DESIRED_MODELS) });
export type DesiredModels = z.infer<typeof DesiredModelsSchema>;

/** `POST /pool/v1/models/{owner}/{name}/versions/{version}/problem` */
export const VersionProblemSchema = z.object({
  stage: z.enum(problemStages),
  problem: z.string().min(1).max(MAX_PROBLEM_CHARS),
  /** The last lines, newest last. */
  log: z.string().max(MAX_PROBLEM_LOG_CHARS).default(""),
  tries: z
    .int()
    .positive()
    .max(1_000_000)
    .optional()
    .meta({ description: "How often this host has tried since the push; an older pool doesn't say, and tries once." }),
});
export type VersionProblem = z.infer<typeof VersionProblemSchema>;

export const VersionProblemReplySchema = z.object({
  againInMs: z.number().nonnegative().nullable().meta({
    description:
      "When the host should try again; null: not before the version is pushed again. An older edge says nothing.",
  }),
});
export type VersionProblemReply = z.infer<typeof VersionProblemReplySchema>;
