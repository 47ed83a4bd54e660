/** D1 in which something happens once, right before the batch that holds a certain statement is run. */

/** `act` may throw: then the batch is not run. `text` stands in the statement's query. */
export function interruptedDb(db: D1Database, text: string, act: () => Promise<void>): D1Database {
  let isDue = false;
  return Object.assign(Object.create(db) as D1Database, {
    prepare(query: string) {
      isDue ||= query.includes(text);
      return db.prepare(query);
    },
    async batch(statements: D1PreparedStatement[]) {
      const wasDue = isDue;
      isDue = false;
      if (wasDue) await act();
      return db.batch(statements);
    },
  });
}
