/**
 * The wire schemas of stored environments: what one pool has built, and others of the same owner unpack instead of
 * installing it again. A layer is a bundle (bundle.ts) whose files are packs, and one index that says what of them is
 * which file of the environment. Whoever has the SHA-256 of its list can verify all of it.
 */
import * as z from "zod";
import { BundleSchema, Sha256Schema } from "./bundle.ts";

/** Linux names some 200 features of a processor, in some 1,500 characters. */
const MAX_NAMES_CHARS = 16_384;
const NamesSchema = z
  .array(z.string().max(128))
  .max(1024)
  .refine((names) => names.join("").length <= MAX_NAMES_CHARS, `at most ${MAX_NAMES_CHARS} characters together`);
/** What takes longer ends before (gpu-pool/runtime/environments). */
const MAX_BUILD_MS = 86_400_000;

/** What a layer says of itself. Of the requirements it says nothing: their lines may hold credentials. */
export const LayerAboutSchema = z
  .object({
    python: z.string().max(64).meta({ description: "The Python's full version." }),
    platform: z.string().max(128).meta({ description: "System and architecture, as Python calls them." }),
    libc: z.string().max(64).meta({ description: "The C library and its version." }),
    cuda: z.string().max(32).nullable().meta({ description: "The CUDA that the driver runs; null without one." }),
    buildMs: z.int().min(0).max(MAX_BUILD_MS).meta({ description: "How long its pool took to install it." }),
    compiledFor: z.object({ cpu: NamesSchema, gpus: NamesSchema }).nullable().default(null).meta({
      description:
        "The features of the processor, and the GPUs, of the host that compiled packages of it: it is for hosts that have them. Null: all of it came compiled.",
    }),
  })
  .meta({ id: "EnvironmentLayerAbout" });
export type LayerAbout = z.infer<typeof LayerAboutSchema>;

/** `PUT /pool/v1/environments/{owner}/{key}` */
export const NewLayerSchema = z
  .object({ bundle: BundleSchema, about: LayerAboutSchema })
  .meta({ id: "NewEnvironmentLayer" });
export type NewLayer = z.infer<typeof NewLayerSchema>;

export const LayerSchema = z
  .object({
    list: Sha256Schema.meta({ description: "The SHA-256 of the list of its files, which is a chunk too." }),
    bytes: z.int().min(0),
    files: z.int().min(0),
    about: LayerAboutSchema,
  })
  .meta({ id: "EnvironmentLayer" });
export type Layer = z.infer<typeof LayerSchema>;

/** `GET /pool/v1/environments/{owner}/{key}` */
export const FoundLayerSchema = z
  .object({
    layer: LayerSchema.nullable(),
    mayStore: z.boolean().meta({ description: "Whether the token may store one." }),
  })
  .meta({ id: "FoundEnvironmentLayer" });
export type FoundLayer = z.infer<typeof FoundLayerSchema>;

/** `POST /pool/v1/environments/{owner}/{key}/problem` */
export const LayerProblemSchema = z.object({
  chunk: Sha256Schema.meta({ description: "The chunk that was not what its name says, or not there." }),
});
/** What the edge found of it. */
export const LayerVerdictSchema = z
  .object({ removed: z.boolean().meta({ description: "Whether the chunk was broken, and the layer is gone." }) })
  .meta({ id: "EnvironmentLayerVerdict" });
