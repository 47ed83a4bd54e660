/**
 * What the local bucket holds, in SQLite: the objects with the files that they are made of, and uploads in parts. A
 * change is one transaction, and answers the files that nobody needs any more.
 */
import { DurableObject } from "cloudflare:workers";
import { openSchema } from "../../object-schema.ts";
import type { Schema } from "../../object-schema.ts";
import { objectSql } from "../../shard/object-sql.ts";

export type Piece = { file: string; size: number };

export type ObjectRecord = {
  key: string;
  version: string;
  size: number;
  etag: string;
  uploadedAt: number;
  httpMetadata: R2HTTPMetadata;
  customMetadata: Record<string, string>;
  pieces: Piece[];
};

type Metadata = Pick<ObjectRecord, "httpMetadata" | "customMetadata">;
/** `etag` null: whatever is there; `*`: something; both to be or not to be. */
export type Condition = { etag: string; matches: boolean } | null;

const tables = [
  "CREATE TABLE IF NOT EXISTS object (key TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID",
  "CREATE TABLE IF NOT EXISTS upload (id TEXT PRIMARY KEY, key TEXT NOT NULL, metadata TEXT NOT NULL) WITHOUT ROWID",
  `CREATE TABLE IF NOT EXISTS part (
     upload_id TEXT NOT NULL, number INTEGER NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
     PRIMARY KEY (upload_id, number)
   ) WITHOUT ROWID`,
];

const bucketSchema: Schema = {
  name: "index of the local bucket",
  steps: [{ up: (sql) => tables.forEach((table) => void sql(table)) }],
};

/** The codes of R2's errors, in its words: https://developers.cloudflare.com/r2/api/error-codes/ */
const noSuchUpload = "The specified multipart upload does not exist. (10024)";
const invalidPart = "One or more of the specified parts could not be found. (10025)";

export class LocalBucketIndex extends DurableObject {
  readonly #sql = this.ctx.storage.sql;

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env as Cloudflare.Env);
    openSchema(objectSql(ctx.storage), bucketSchema);
  }

  find(key: string): ObjectRecord | null {
    const [row] = this.#sql.exec<{ record: string }>("SELECT record FROM object WHERE key = ?", key).toArray();
    return row === undefined ? null : (JSON.parse(row.record) as ObjectRecord);
  }

  /** `stored` false: the condition does not hold. */
  put(record: ObjectRecord, condition: Condition): { stored: boolean; unused: string[] } {
    const there = this.find(record.key);
    if (condition !== null) {
      const isThere = there !== null && (condition.etag === "*" || condition.etag === there.etag);
      if (isThere !== condition.matches) return { stored: false, unused: filesOf(record) };
    }
    this.#sql.exec("INSERT OR REPLACE INTO object VALUES (?, ?)", record.key, JSON.stringify(record));
    return { stored: true, unused: filesOf(there) };
  }

  remove(keys: string[]): string[] {
    return keys.flatMap((key) => {
      const there = this.find(key);
      this.#sql.exec("DELETE FROM object WHERE key = ?", key);
      return filesOf(there);
    });
  }

  /** Objects whose keys begin with `prefix`, behind the key `after`. */
  list(prefix: string, after: string, limit: number): ObjectRecord[] {
    const query = "SELECT record FROM object WHERE key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?";
    return this.#sql
      .exec<{ record: string }>(query, prefix, `${prefix}\u{10ffff}`, after, limit)
      .toArray()
      .map(({ record }) => JSON.parse(record) as ObjectRecord);
  }

  /**
   * Those of `files` that belong to no object and to no part. Of many, some: those behind the ones that were looked at
   * before, by name.
   */
  unnamed(files: string[], limit: number): string[] {
    const behind = this.ctx.storage.kv.get<string>("looked") ?? "";
    const some = files
      .filter((file) => file > behind)
      .toSorted()
      .slice(0, limit);
    this.ctx.storage.kv.put("looked", some.length === limit ? (some.at(-1) ?? "") : "");
    const query = `SELECT value AS file FROM json_each(?) WHERE value NOT IN (SELECT file FROM part)
       AND value NOT IN (SELECT piece.value ->> 'file' FROM object, json_each(object.record, '$.pieces') AS piece)`;
    return this.#sql
      .exec<{ file: string }>(query, JSON.stringify(some))
      .toArray()
      .map(({ file }) => file);
  }

  startUpload(id: string, key: string, metadata: Metadata): void {
    this.#sql.exec("INSERT INTO upload VALUES (?, ?, ?)", id, key, JSON.stringify(metadata));
  }

  putPart(id: string, key: string, number: number, piece: Piece, etag: string): string[] {
    this.#metadataOf(id, key);
    const unused = this.#parts(id).filter((part) => part.number === number);
    this.#sql.exec("INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?)", id, number, piece.file, piece.size, etag);
    return unused.map(({ file }) => file);
  }

  /** Makes an object of the parts that are named by number and etag. */
  complete(id: string, key: string, named: R2UploadedPart[]): { record: ObjectRecord; unused: string[] } {
    const metadata = this.#metadataOf(id, key);
    const parts = this.#parts(id);
    const taken = named
      .toSorted((a, b) => a.partNumber - b.partNumber)
      .map(({ partNumber, etag }) => parts.find((part) => part.number === partNumber && part.etag === etag));
    const pieces = taken.map((part) => {
      if (part === undefined) throw new Error(invalidPart);
      return { file: part.file, size: part.size };
    });
    const size = pieces.reduce((sum, piece) => sum + piece.size, 0);
    const etag = `${crypto.randomUUID().replaceAll("-", "")}-${pieces.length}`;
    const record = { ...metadata, key, version: crypto.randomUUID(), size, etag, uploadedAt: Date.now(), pieces };
    const { unused } = this.put(record, null);
    this.#forget(id);
    const left = parts.filter((part) => !taken.includes(part)).map(({ file }) => file);
    return { record, unused: [...unused, ...left] };
  }

  abort(id: string, key: string): string[] {
    this.#metadataOf(id, key);
    const unused = this.#parts(id).map(({ file }) => file);
    this.#forget(id);
    return unused;
  }

  #metadataOf(id: string, key: string): Metadata {
    const [row] = this.#sql
      .exec<{ metadata: string }>("SELECT metadata FROM upload WHERE id = ? AND key = ?", id, key)
      .toArray();
    if (row === undefined) throw new Error(noSuchUpload);
    return JSON.parse(row.metadata) as Metadata;
  }

  #parts(id: string): { number: number; file: string; size: number; etag: string }[] {
    return this.#sql
      .exec<{ number: number; file: string; size: number; etag: string }>("SELECT * FROM part WHERE upload_id = ?", id)
      .toArray();
  }

  #forget(id: string): void {
    this.#sql.exec("DELETE FROM part WHERE upload_id = ?", id);
    this.#sql.exec("DELETE FROM upload WHERE id = ?", id);
  }
}

function filesOf(record: ObjectRecord | null): string[] {
  return record?.pieces.map(({ file }) => file) ?? [];
}
