/** What a pool session stores: one value, to which keys are added that may be missing. */
import { openSchema } from "../object-schema.ts";
import type { Schema } from "../object-schema.ts";
import { objectSql } from "../shard/object-sql.ts";

export const sessionSchema: Schema = { name: "pool session", steps: [{}] };

/** Before it stores anything. */
export function numberSession(storage: DurableObjectStorage): void {
  openSchema(objectSql(storage), sessionSchema);
}
