/** The migrations of D1, read as `wrangler d1 migrations apply` reads them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { unstable_splitSqlQuery } from "wrangler";
import type { Migration } from "./d1-migrate.ts";

/** The `*.sql` files of `path`, in the order of their names, cut into statements. */
export function readMigrations(path: string): Migration[] {
  const files = readdirSync(path).filter((name) => name.endsWith(".sql"));
  return files
    .toSorted()
    .map((name) => ({ name, statements: unstable_splitSqlQuery(readFileSync(join(path, name), "utf8")) }));
}
