/** D1 and R2 of the fake Cloudflare: databases that take SQL, and names of buckets. */
import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import * as z from "zod";

/** A refusal of the API: status, code, and why. */
export class Refused extends Error {
  readonly status: number;
  readonly code: number;

  constructor(status: number, code: number, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class FakeStores {
  readonly buckets = new Set<string>();
  readonly databases = new Map<string, { uuid: string; db: DatabaseSync }>();

  database(nameOrId: string): unknown {
    const found = [...this.databases].find(([name, { uuid }]) => name === nameOrId || uuid === nameOrId);
    if (found === undefined) throw new Refused(404, 7404, `The database ${nameOrId} could not be found`);
    return { uuid: found[1].uuid, name: found[0], version: "production" };
  }

  createDatabase(body: Buffer): unknown {
    const { name } = z.object({ name: z.string() }).parse(JSON.parse(body.toString()));
    if (this.databases.has(name)) throw new Refused(409, 7502, "A database with that name already exists");
    this.databases.set(name, { uuid: randomUUID(), db: new DatabaseSync(":memory:") });
    return this.database(name);
  }

  query(id: string, body: Buffer): unknown {
    const { sql } = z.object({ sql: z.string() }).parse(JSON.parse(body.toString()));
    const { db } = [...this.databases.values()].find(({ uuid }) => uuid === id) ?? {};
    if (db === undefined) throw new Refused(404, 7404, "The database could not be found");
    try {
      const isQuestion = /^\s*(?:SELECT|PRAGMA)/i.test(sql);
      const results = isQuestion ? db.prepare(sql).all() : [];
      // A call of many statements is whole or not at all.
      if (!isQuestion) db.exec(`BEGIN; ${sql}; COMMIT;`);
      return [{ success: true, results, meta: { duration: 1, changes: 0, served_by: "test" } }];
    } catch (error) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw new Refused(400, 7500, error instanceof Error ? error.message : String(error));
    }
  }

  bucket(name: string): unknown {
    if (!this.buckets.has(name)) throw new Refused(404, 10_006, "The specified bucket does not exist.");
    return { name, creation_date: "2026-11-29T00:00:00Z" };
  }

  createBucket(body: Buffer): unknown {
    const { name } = z.looseObject({ name: z.string() }).parse(JSON.parse(body.toString()));
    if (this.buckets.has(name)) throw new Refused(409, 10_004, "The bucket you tried to create already exists.");
    this.buckets.add(name);
    return { name };
  }

  /** A database that has had the migrations of these names. */
  addMigrated(name: string, migrations: readonly string[]): void {
    const db = new DatabaseSync(":memory:");
    db.exec("CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TEXT)");
    const note = db.prepare("INSERT INTO d1_migrations (name) VALUES (?)");
    for (const migration of migrations) note.run(migration);
    this.databases.set(name, { uuid: randomUUID(), db });
  }

  close(): void {
    for (const { db } of this.databases.values()) db.close();
  }
}
