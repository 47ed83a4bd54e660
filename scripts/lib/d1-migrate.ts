/**
 * Brings the local D1 to the newest schema, in the way and with the table of `wrangler d1 migrations apply`. As a
 * Worker beside the product's it is told to by a request, and so is the sweep that `crons` of wrangler.toml names: what
 * Miniflare offers for both stops its process until workerd has answered, which waits for that process once it has more
 * to say than fits between them. It imports nothing, so that its text is the Worker's.
 */
export type Migration = { name: string; statements: string[] };

type Statement = {
  bind(...values: string[]): Statement;
  run(): Promise<unknown>;
  all(): Promise<{ results: unknown[] }>;
};
type Database<Made extends Statement = Statement> = {
  prepare(query: string): Made;
  batch(statements: Made[]): Promise<unknown>;
};
type Bindings = {
  DB: Database;
  EDGE: { scheduled(options: { scheduledTime: Date }): Promise<unknown> };
  /** Miniflare's own port leads to every Worker: what runs on this host beside the edge doesn't know this. */
  SECRET: string;
};

/** Applies, in the order given, the migrations that `database` hasn't seen; each whole or not at all. */
export async function migrate(database: Database, migrations: readonly Migration[]): Promise<void> {
  await database
    .prepare(
      `CREATE TABLE IF NOT EXISTS d1_migrations (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)`,
    )
    .run();
  const { results } = await database.prepare("SELECT name FROM d1_migrations").all();
  const applied = new Set(results.map((row) => (row as { name: string }).name));
  for (const { name, statements } of migrations) {
    if (applied.has(name)) continue;
    const note = database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name);
    await database.batch([...statements.map((sql) => database.prepare(sql)), note]);
  }
}

/** `POST /migrate` with the migrations as JSON, `POST /sweep`; what fails is answered with its reason. */
export default {
  async fetch(request: Request, { DB, EDGE, SECRET }: Bindings): Promise<Response> {
    if (request.headers.get("authorization") !== SECRET) return new Response(null, { status: 404 });
    try {
      const { pathname } = new URL(request.url);
      if (pathname === "/migrate") await migrate(DB, (await request.json()) as Migration[]);
      else await EDGE.scheduled({ scheduledTime: new Date() });
      return new Response(null, { status: 204 });
    } catch (error) {
      return new Response(error instanceof Error ? error.message : String(error), { status: 500 });
    }
  },
};
