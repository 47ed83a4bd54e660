/** What all that looks models up shares: who may know of one, and for how long an isolate remembers it. */
import * as z from "zod";
import { ManifestSchema, NameSchema } from "../contract/manifest.ts";
import type { Manifest } from "../contract/manifest.ts";
import { isPending } from "./version-state.ts";
import type { BundleNote } from "./version-state.ts";

export const CACHE_MS = 10_000;
const UNKNOWN_CACHE_MS = 1000;
export const CACHED_MODELS = 2000;
export const VERSION = /^[0-9a-f]{64}$/;

export const visibilities = ["public", "private"] as const;
export type Visibility = (typeof visibilities)[number];

/** `bundle`: null unless it was pushed. */
export type Version = { manifest: Manifest; createdAt: number; bundle: BundleNote };
/** The account that looks: its name is the owner's name of its models. */
export type Viewer = { accountName: string };
export type ModelName = { owner: string; name: string };

export const ManifestColumnSchema = z.string().transform((text) => ManifestSchema.parse(JSON.parse(text)));

/** A schema may have 1 Mi characters; parsed, it takes about twice as much. */
export const cacheBudget = {
  maxBytes: 16 * 1024 * 1024,
  bytesOf: (value: unknown) => 2 * JSON.stringify(value).length,
};

/** Whether the viewer may know of the model. */
export function isVisible(model: { owner: string; visibility: Visibility }, { accountName }: Viewer): boolean {
  return model.visibility === "public" || model.owner === accountName;
}

/**
 * What no model can be called is neither asked for nor remembered: a client may send names as long as a URL, and as
 * many as it likes.
 */
export function mayBeModel({ owner, name }: ModelName): boolean {
  return NameSchema.safeParse(owner).success && NameSchema.safeParse(name).success;
}

/**
 * What is private is forgotten as soon as what isn't there: else the queries would tell others one from the other. What
 * is pending may be live in a moment.
 */
export function cacheMs(found: readonly { visibility: Visibility; bundle?: BundleNote }[]): number {
  if (found.some(({ bundle = null }) => isPending({ bundle }))) return UNKNOWN_CACHE_MS;
  return found.some(({ visibility }) => visibility === "public") ? CACHE_MS : UNKNOWN_CACHE_MS;
}
