/** The rows of uploads in parts, and of the parts that have arrived. */
import * as z from "zod";
import type { Json } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import { hasRoom } from "../registry/quotas.ts";
import type { QuotaVars } from "../registry/quotas.ts";

/** How long an upload is kept after its last part. */
export const UPLOAD_IDLE_MS = 24 * 3_600_000;

const UploadRowSchema = z
  .object({
    id: z.string(),
    account_id: z.string().nullable(),
    blob_key: z.string(),
    multipart_id: z.string(),
    name: z.string(),
    content_type: z.string(),
    metadata: z.string().transform((text): Json => JSON.parse(text) as Json),
    size_bytes: z.number(),
    part_bytes: z.number(),
    created_at: z.number(),
    expires_at: z.number(),
  })
  .transform((row) => ({
    id: row.id,
    accountId: row.account_id,
    key: row.blob_key,
    multipartId: row.multipart_id,
    name: row.name,
    contentType: row.content_type,
    metadata: row.metadata,
    sizeBytes: row.size_bytes,
    partBytes: row.part_bytes,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  }));
/** An upload under way. `accountId` null: a pool's, of a prediction's output. */
export type Upload = z.output<typeof UploadRowSchema>;

const PartRowSchema = z
  .object({ number: z.number(), size_bytes: z.number(), etag: z.string(), sha256: z.string() })
  .transform(({ number, size_bytes: sizeBytes, etag, sha256 }) => ({ number, sizeBytes, etag, sha256 }));
/** A part that has arrived. */
export type Part = z.output<typeof PartRowSchema>;

/** Uploads under way that one prediction's claims may have. */
const MAX_UPLOADS_OF_PREDICTION = 1000;

/** Notes an upload; false when its account, or its prediction, has no room for it. */
export async function insertUpload(env: QuotaVars & Pick<Env, "DB">, upload: Upload): Promise<boolean> {
  const metadataBytes = "length(CAST(?5 AS BLOB)) + length(CAST(?7 AS BLOB))";
  const ofAccount = `${hasRoom(env, "uploads", "?2")} AND ${hasRoom(env, "files", "?2", "?8", 0)}
    AND ${hasRoom(env, "metadata", "?2", metadataBytes)}`;
  const ofPrediction = `(SELECT count(*) FROM (SELECT 1 FROM uploads WHERE blob_key >= ?12 AND blob_key < ?13
    LIMIT ${MAX_UPLOADS_OF_PREDICTION})) < ${MAX_UPLOADS_OF_PREDICTION}`;
  const prefix = upload.key.slice(0, upload.key.indexOf("/", upload.key.indexOf("/") + 1) + 1);
  const { meta } = await env.DB.prepare(
    `INSERT INTO uploads (id, account_id, blob_key, multipart_id, name, content_type, metadata, size_bytes, part_bytes, created_at, expires_at)
       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 WHERE iif(?2 IS NULL, ${ofPrediction}, ${ofAccount})`,
  )
    .bind(
      upload.id,
      upload.accountId,
      upload.key,
      upload.multipartId,
      upload.name,
      upload.contentType,
      JSON.stringify(upload.metadata),
      upload.sizeBytes,
      upload.partBytes,
      upload.createdAt,
      upload.expiresAt,
      prefix,
      `${prefix}\u{10ffff}`,
    )
    .run();
  return meta.changes > 0;
}

/** An upload of the account (null: of pools); null when there is none, or it was abandoned. */
export async function findUpload(db: D1Database, accountId: string | null, id: string): Promise<Upload | null> {
  const row = await db
    .prepare("SELECT * FROM uploads WHERE id = ? AND account_id IS ? AND expires_at > ?")
    .bind(id, accountId, Date.now())
    .first();
  return row === null ? null : UploadRowSchema.parse(row);
}

/** The account's uploads that are under way, newest first. */
export async function listUploads(db: D1Database, accountId: string, limit: number): Promise<Upload[]> {
  const { results } = await db
    .prepare("SELECT * FROM uploads WHERE account_id = ? AND expires_at > ? ORDER BY created_at DESC, id DESC LIMIT ?")
    .bind(accountId, Date.now(), limit)
    .all();
  return results.map((row) => UploadRowSchema.parse(row));
}

/** Uploads that were abandoned before `now`. */
export async function abandonedUploads(db: D1Database, now: number, limit: number): Promise<Upload[]> {
  const { results } = await db
    .prepare("SELECT * FROM uploads WHERE expires_at <= ? ORDER BY expires_at LIMIT ?")
    .bind(now, limit)
    .all();
  return results.map((row) => UploadRowSchema.parse(row));
}

/** Uploads whose content would lie under `prefix`. */
export async function uploadsUnder(db: D1Database, prefix: string): Promise<Upload[]> {
  const { results } = await db
    .prepare("SELECT * FROM uploads WHERE blob_key >= ? AND blob_key < ?")
    .bind(prefix, `${prefix}\u{10ffff}`)
    .all();
  return results.map((row) => UploadRowSchema.parse(row));
}

/** Those of `keys` under which the content of an upload lies, or will lie. */
export async function keysUnderWay(db: D1Database, keys: readonly string[]): Promise<Set<string>> {
  const query = db.prepare("SELECT blob_key FROM uploads WHERE blob_key IN (SELECT value FROM json_each(?))");
  const { results } = await query.bind(JSON.stringify(keys)).all<{ blob_key: string }>();
  return new Set(results.map(({ blob_key: key }) => key));
}

/**
 * Notes that a part has arrived, in place of one that came before under its number; the upload lives on. False, and
 * nothing else, when it has ended meanwhile.
 */
export async function savePart(db: D1Database, uploadId: string, part: Part, now: number): Promise<boolean> {
  const saved = await db.batch([
    db
      .prepare(
        `INSERT OR REPLACE INTO upload_parts (upload_id, number, size_bytes, etag, sha256)
         SELECT id, ?2, ?3, ?4, ?5 FROM uploads WHERE id = ?1`,
      )
      .bind(uploadId, part.number, part.sizeBytes, part.etag, part.sha256),
    db.prepare("UPDATE uploads SET expires_at = ? WHERE id = ?").bind(now + UPLOAD_IDLE_MS, uploadId),
  ]);
  return (saved.at(-1)?.meta.changes ?? 0) > 0;
}

export async function deletePart(db: D1Database, uploadId: string, number: number): Promise<void> {
  await db.prepare("DELETE FROM upload_parts WHERE upload_id = ? AND number = ?").bind(uploadId, number).run();
}

/** The parts that have arrived, in their order. */
export async function listParts(db: D1Database, uploadId: string): Promise<Part[]> {
  const { results } = await db
    .prepare("SELECT number, size_bytes, etag, sha256 FROM upload_parts WHERE upload_id = ? ORDER BY number")
    .bind(uploadId)
    .all();
  return results.map((row) => PartRowSchema.parse(row));
}

/** What deletes an upload's rows; to be run together with what notes its object. */
export function uploadRowDeletes(db: D1Database, id: string): D1PreparedStatement[] {
  return [
    db.prepare("DELETE FROM upload_parts WHERE upload_id = ?").bind(id),
    db.prepare("DELETE FROM uploads WHERE id = ?").bind(id),
  ];
}

/** False when there was none: it has been given up, or become a file. */
export async function deleteUploadRows(db: D1Database, id: string): Promise<boolean> {
  const deleted = await db.batch(uploadRowDeletes(db, id));
  return (deleted.at(-1)?.meta.changes ?? 0) > 0;
}

/** Deletes the rows of several uploads. Answers those that were there: of the others, files were made. */
export async function deleteUploads(
  db: D1Database,
  uploads: readonly Upload[],
): Promise<Pick<Upload, "accountId" | "key">[]> {
  if (uploads.length === 0) return [];
  const ids = JSON.stringify(uploads.map(({ id }) => id));
  const [, deleted] = await db.batch<{ account_id: string | null; blob_key: string }>([
    db.prepare("DELETE FROM upload_parts WHERE upload_id IN (SELECT value FROM json_each(?))").bind(ids),
    db
      .prepare("DELETE FROM uploads WHERE id IN (SELECT value FROM json_each(?)) RETURNING account_id, blob_key")
      .bind(ids),
  ]);
  return (deleted?.results ?? []).map((row) => ({ accountId: row.account_id, key: row.blob_key }));
}
