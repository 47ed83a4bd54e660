/**
 * Readmes of models: in the bucket, under a key that the model's name makes; the model's row has their length. They are
 * stored before the row says so, and deleted after it says no more.
 */
import * as z from "zod";
import type { Env } from "../env.ts";
import type { SweepStep } from "./sweep.ts";

type Stores = Pick<Env, "DB" | "BLOBS">;
type ModelName = { owner: string; name: string };

const RowSchema = z.object({ readme: z.string().nullable(), readme_bytes: z.number().nullable() });
const InlineSchema = z.object({ owner: z.string(), name: z.string(), readme: z.string() });
const METADATA = { httpMetadata: { contentType: "text/markdown; charset=utf-8" } };
/** What a step of the sweep needs beside two calls for each readme. */
const SWEEP_CALLS = 1;

/** A model's readme; null when it has none. The caller has checked that the viewer may know of the model. */
export async function readReadme({ DB, BLOBS }: Stores, model: ModelName): Promise<string | null> {
  const query = "SELECT readme, readme_bytes FROM models WHERE owner = ? AND name = ?";
  const row = await DB.prepare(query).bind(model.owner, model.name).first();
  if (row === null) return null;
  const { readme, readme_bytes: bytes } = RowSchema.parse(row);
  if (bytes === null) return readme;
  const object = await BLOBS.get(keyOf(model));
  return object === null ? null : object.text();
}

/** Gives a model another readme; null takes it away. */
export async function saveReadme({ DB, BLOBS }: Stores, model: ModelName, text: string | null): Promise<void> {
  const stored = text === null ? null : await BLOBS.put(keyOf(model), text, METADATA);
  await DB.prepare("UPDATE models SET readme = NULL, readme_bytes = ? WHERE owner = ? AND name = ?")
    .bind(stored?.size ?? null, model.owner, model.name)
    .run();
  if (text === null) await BLOBS.delete(keyOf(model));
}

/**
 * Moves readmes that lie in their rows into the bucket. One that its owner changes meanwhile stays as the owner has it.
 */
export async function sweepReadmes({ DB, BLOBS }: Stores, maxCalls: number): Promise<SweepStep> {
  const limit = Math.floor((maxCalls - SWEEP_CALLS) / 2);
  if (limit < 1) return { calls: 0, more: true };
  const { results } = await DB.prepare("SELECT owner, name, readme FROM models WHERE readme IS NOT NULL LIMIT ?")
    .bind(limit)
    .all();
  for (const row of results) {
    const { owner, name, readme } = InlineSchema.parse(row);
    await BLOBS.put(keyOf({ owner, name }), readme, { ...METADATA, onlyIf: { etagDoesNotMatch: "*" } });
    const bytes = new TextEncoder().encode(readme).byteLength;
    await DB.prepare("UPDATE models SET readme = NULL, readme_bytes = ? WHERE owner = ? AND name = ? AND readme = ?")
      .bind(bytes, owner, name, readme)
      .run();
  }
  return { calls: results.length * 2 + SWEEP_CALLS, more: results.length === limit };
}

function keyOf({ owner, name }: ModelName): string {
  return `readmes/${owner}/${name}`;
}
