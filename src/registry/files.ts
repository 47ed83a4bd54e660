/**
 * Files that clients upload as inputs: a row here, the content in the bucket. Both go when the file is deleted or
 * expires; a sweep deletes those that have expired. Content is named by the file's id alone, so that a link to it tells
 * a pool nothing of the account.
 */
import * as z from "zod";
import type { Json } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import { uploadRowDeletes } from "../storage/upload-rows.ts";
import { hasRoom, quotaExceeded } from "./quotas.ts";
import type { QuotaVars } from "./quotas.ts";
import type { SweepStep } from "./sweep.ts";

const SWEEP_LIMIT = 500;
const SWEEP_CALLS = 3;
const ID_BYTES = 15;
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

type Stores = Pick<Env, "DB" | "BLOBS">;
type Place = { createdAt: number; id: string };

const FileRowSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    content_type: z.string(),
    size_bytes: z.number(),
    sha256: z.string(),
    metadata: z.string().transform((text): Json => JSON.parse(text) as Json),
    created_at: z.number(),
    expires_at: z.number(),
    etag: z.string().nullable(),
  })
  .transform((row) => ({
    id: row.id,
    name: row.name,
    contentType: row.content_type,
    sizeBytes: row.size_bytes,
    sha256: row.sha256,
    metadata: row.metadata,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    etag: row.etag ?? row.sha256,
  }));
export type StoredFile = z.output<typeof FileRowSchema>;

/**
 * A file whose content lies under `contentKey(id)`. `sha256`: in hex, or `<hex>-<parts>` as `src/storage/uploads.ts`
 * has it.
 */
export type NewFile = Pick<StoredFile, "id" | "name" | "contentType" | "metadata" | "sizeBytes" | "sha256" | "etag">;

/** Whose file it is, and how long it is kept. */
type Keeper = { accountId: string; retentionMs: number };

/**
 * Notes a file of an account, whose content is stored already, so that what is listed can be read. Ends the
 * upload of the same id that brought it. Throws `quota_exceeded`, and deletes the content, when the account has no room
 * for it.
 */
export async function createFile(stores: Stores & QuotaVars, keeper: Keeper, file: NewFile): Promise<StoredFile> {
  const { DB: db } = stores;
  const created = begin(keeper, file);
  const room = [
    hasRoom(stores, "files", "?2", "?5"),
    hasRoom(stores, "metadata", "?2", "length(CAST(?3 AS BLOB)) + length(CAST(?7 AS BLOB))"),
  ];
  const [inserted] = await db.batch([
    insertion(db, keeper, created, room.join(" AND ")),
    ...uploadRowDeletes(db, file.id),
  ]);
  if ((inserted?.meta.changes ?? 0) > 0) return created;
  await stores.BLOBS.delete(contentKey(file.id));
  throw quotaExceeded(stores, "files", "metadata");
}

/**
 * The same of a completed upload of the file's id. Null when the upload is no longer there and no file either: whoever
 * gave it up has deleted the content.
 */
export async function createUploadedFile(db: D1Database, keeper: Keeper, file: NewFile): Promise<StoredFile | null> {
  const created = begin(keeper, file);
  const isUnderWay = "EXISTS (SELECT 1 FROM uploads WHERE id = ?1)";
  const [inserted] = await db.batch([insertion(db, keeper, created, isUnderWay), ...uploadRowDeletes(db, file.id)]);
  return (inserted?.meta.changes ?? 0) > 0 ? created : findFile(db, keeper.accountId, file.id);
}

function begin({ retentionMs }: Keeper, file: NewFile): StoredFile {
  const createdAt = Date.now();
  return { ...file, createdAt, expiresAt: createdAt + retentionMs };
}

function insertion(db: D1Database, { accountId }: Keeper, file: StoredFile, condition: string): D1PreparedStatement {
  const { id, name, contentType, sizeBytes, sha256, metadata, createdAt, expiresAt, etag } = file;
  return db
    .prepare(
      `INSERT INTO files (id, account_id, name, content_type, size_bytes, sha256, metadata, created_at, expires_at, etag)
       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 WHERE ${condition} ON CONFLICT DO NOTHING`,
    )
    .bind(id, accountId, name, contentType, sizeBytes, sha256, JSON.stringify(metadata), createdAt, expiresAt, etag);
}

/** A file of the account; null when there is none, or it has expired. */
export async function findFile(db: D1Database, accountId: string, id: string): Promise<StoredFile | null> {
  const row = await db
    .prepare("SELECT * FROM files WHERE id = ? AND account_id = ? AND expires_at > ?")
    .bind(id, accountId, Date.now())
    .first();
  return row === null ? null : FileRowSchema.parse(row);
}

/** A page of the account's files, newest first, behind the file `after`. */
export async function listFiles(
  db: D1Database,
  accountId: string,
  page: { after: Place | null; limit: number },
): Promise<StoredFile[]> {
  const after = page.after ?? { createdAt: Number.MAX_SAFE_INTEGER, id: "" };
  const { results } = await db
    .prepare(
      `SELECT * FROM files WHERE account_id = ? AND expires_at > ? AND (created_at, id) < (?, ?)
       ORDER BY created_at DESC, id DESC LIMIT ?`,
    )
    .bind(accountId, Date.now(), after.createdAt, after.id, page.limit)
    .all();
  return results.map((row) => FileRowSchema.parse(row));
}

/** Deletes a file of the account with its content; false when there is none. */
export async function deleteFile(stores: Stores, accountId: string, id: string): Promise<boolean> {
  if ((await findFile(stores.DB, accountId, id)) === null) return false;
  await stores.BLOBS.delete(contentKey(id));
  await stores.DB.prepare("DELETE FROM files WHERE id = ? AND account_id = ?").bind(id, accountId).run();
  return true;
}

/** Deletes files that have expired: 500 with every three calls. */
export async function sweepFiles(stores: Stores, maxCalls: number): Promise<SweepStep> {
  const now = Date.now();
  for (let calls = 0; ; calls += SWEEP_CALLS) {
    if (calls + SWEEP_CALLS > maxCalls) return { calls, more: true };
    const { results } = await stores.DB.prepare(
      "SELECT id FROM files WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
    )
      .bind(now, SWEEP_LIMIT)
      .all<{ id: string }>();
    if (results.length === 0) return { calls: calls + 1, more: false };
    const ids = results.map(({ id }) => id);
    await stores.BLOBS.delete(ids.map(contentKey));
    await stores.DB.prepare("DELETE FROM files WHERE id IN (SELECT value FROM json_each(?))")
      .bind(JSON.stringify(ids))
      .run();
  }
}

/** Where the contents of files lie. */
export const FILES_PREFIX = "files/";

/** Where a file's content lies. */
export function contentKey(id: string): string {
  return `${FILES_PREFIX}${id}`;
}

/** Those of `ids` that are noted, whoever's they are. */
export async function knownFileIds(db: D1Database, ids: readonly string[]): Promise<Set<string>> {
  const query = db.prepare("SELECT id FROM files WHERE id IN (SELECT value FROM json_each(?))");
  const { results } = await query.bind(JSON.stringify(ids)).all<{ id: string }>();
  return new Set(results.map(({ id }) => id));
}

export function newFileId(): string {
  const bits = Array.from(crypto.getRandomValues(new Uint8Array(ID_BYTES)), (byte) =>
    byte.toString(2).padStart(8, "0"),
  );
  return bits.join("").replace(/.{5}/g, (five) => ALPHABET.charAt(Number.parseInt(five, 2)));
}
