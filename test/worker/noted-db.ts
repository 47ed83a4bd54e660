/** D1 with every statement noted as it is run, so that its plan can be asked for. */

export type Noted = { query: string; bindings: unknown[] };

const RUNS: ReadonlySet<PropertyKey> = new Set(["first", "all", "run", "raw"]);

/** Wraps a database; `noted` has each query that is run from then on, once. */
export function createNotedDb(db: D1Database): { db: D1Database; noted: Map<string, Noted> } {
  const noted = new Map<string, Noted>();
  const originals = new WeakMap<object, { statement: D1PreparedStatement; note: Noted }>();

  function wrap(statement: D1PreparedStatement, note: Noted): D1PreparedStatement {
    const wrapped = new Proxy(statement, {
      get(target, key) {
        if (key === "bind") return (...bindings: unknown[]) => wrap(target.bind(...bindings), { ...note, bindings });
        if (RUNS.has(key)) noted.set(note.query, note);
        const value: unknown = Reflect.get(target, key);
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
    originals.set(wrapped, { statement, note });
    return wrapped;
  }

  const proxy = new Proxy(db, {
    get(target, key) {
      if (key === "prepare") return (query: string) => wrap(target.prepare(query), { query, bindings: [] });
      if (key !== "batch") return Reflect.get(target, key) as unknown;
      return (statements: D1PreparedStatement[]) =>
        target.batch(
          statements.map((one) => {
            const original = originals.get(one);
            if (original === undefined) throw new Error("a statement of another database");
            noted.set(original.note.query, original.note);
            return original.statement;
          }),
        );
    },
  });
  return { db: proxy, noted };
}

/**
 * Scans that are no table's: of what a part of the query found, of what the caller gave (`json_each`, constants, the
 * CTE `added` that is made of them), and of the credentials without a MAC, which are few and read once a minute.
 */
const HARMLESS =
  /^SCAN (\(subquery-\d+\)$|CONSTANT ROW$|\d+ CONSTANT ROW|.*VIRTUAL TABLE|added$|\w+ USING INDEX \w+_without_mac$)/;

/** What of a query's plan goes through a whole table or index. */
export async function scansOf(db: D1Database, { query, bindings }: Noted): Promise<string[]> {
  const { results } = await db
    .prepare(`EXPLAIN QUERY PLAN ${query}`)
    .bind(...bindings)
    .all<{ detail: string }>();
  return results.map(({ detail }) => detail).filter((detail) => detail.startsWith("SCAN ") && !HARMLESS.test(detail));
}
