/** The one Durable Object that holds the settings of a deployment. */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { objectSql } from "../shard/object-sql.ts";
import type { NumberedSettings, Settings } from "./schema.ts";
import { createSettingsTable } from "./store.ts";
import type { NewPublication, Publication, SettingsTable } from "./store.ts";

/** What isolates ask with: what they have, and how often they served settings that they could not renew. */
export type Refresh = { number: number | null; staleServed: number };

const STALE_SERVED = "stale_served";

export class SettingsObject extends DurableObject<Env> {
  readonly #table: SettingsTable;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#table = createSettingsTable(objectSql(ctx.storage));
  }

  /** The settings that hold; null when those are the ones that the caller has. */
  refresh({ number, staleServed }: Refresh): NumberedSettings | null {
    this.#table.count(STALE_SERVED, staleServed);
    const current = this.#table.current();
    return current === number ? null : this.#table.read(current);
  }

  /** `number` null: those that hold. */
  read(number: number | null): { numbered: NumberedSettings; publication: Publication | null } | null {
    const wanted = number ?? this.#table.current();
    const numbered = this.#table.read(wanted);
    return numbered === null ? null : { numbered, publication: this.#table.publication(wanted) };
  }

  list(before: number, limit: number): Publication[] {
    return this.#table.list(before, limit);
  }

  publish(settings: Settings, publication: NewPublication, expected: number | null): Publication | null {
    const number = this.#table.publish(settings, publication, expected);
    return number === null ? null : { number, ...publication };
  }

  stats(): { number: number; staleServed: number } {
    return { number: this.#table.current(), staleServed: this.#table.count(STALE_SERVED, 0) };
  }
}
