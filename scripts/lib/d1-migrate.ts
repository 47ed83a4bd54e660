/** Brings the local D1 to the newest schema, in the way and with the table of `wrangler d1 migrations apply`. */
import type { Miniflare } from "miniflare";
import * as z from "zod";

type Database = Awaited<ReturnType<Miniflare["getD1Database"]>>;

export const MigrationSchema = z.object({ name: z.string(), statements: z.array(z.string()) });
export type Migration = z.infer<typeof MigrationSchema>;

const AppliedSchema = z.array(z.object({ name: z.string() }));

/** Applies, in the order given, the migrations that `database` hasn't seen; each whole or not at all. */
export async function migrate(database: Database, migrations: readonly Migration[]): Promise<void> {
  await database
    .prepare(
      `CREATE TABLE IF NOT EXISTS d1_migrations (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)`,
    )
    .run();
  const { results } = await database.prepare("SELECT name FROM d1_migrations").all();
  const applied = new Set(AppliedSchema.parse(results).map((row) => row.name));
  for (const { name, statements } of migrations) {
    if (applied.has(name)) continue;
    const note = database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name);
    await database.batch([...statements.map((sql) => database.prepare(sql)), note]);
  }
}
