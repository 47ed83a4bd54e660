/** The one Durable Object that holds the settings of a deployment. */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { objectSql } from "../shard/object-sql.ts";
import type { AuditCounts } from "../telemetry/audit-counts.ts";
import { addTo } from "../telemetry/verdict-counts.ts";
import type { VerdictCount } from "../telemetry/verdict-counts.ts";
import type { KeptSettings, NumberedSettings } from "./schema.ts";
import { createSettingsTable } from "./store.ts";
import type { NewPublication, Publication, SettingsTable } from "./store.ts";

/** What isolates ask with: what they have, and how often they served settings that they could not renew. */
export type Refresh = { number: number | null; staleServed: number };
/** For the operator's metrics; what plugins decided counts from the object's start. */
export type SettingsStats = { number: number; staleServed: number; audit: AuditCounts; verdicts: VerdictCount[] };

const STALE_SERVED = "stale_served";
const AUDIT_PUBLISHED = "audit_published";
const AUDIT_DROPPED = "audit_dropped";

export class SettingsObject extends DurableObject<Env> {
  readonly #table: SettingsTable;
  readonly #verdicts = new Map<string, VerdictCount>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#table = createSettingsTable(objectSql(ctx.storage));
  }

  /**
   * The settings that hold; null when those are the ones that the caller has. An isolate of an older version, as there
   * are while a deployment is under way, tells no `audit`.
   */
  refresh(
    { number, staleServed }: Refresh,
    verdicts: readonly VerdictCount[],
    audit: AuditCounts = { published: 0, dropped: 0 },
  ): NumberedSettings | null {
    const current = this.#table.current();
    // First: who gets an error tells all again.
    const found = current === number ? null : this.#table.read(current);
    this.#table.count(AUDIT_PUBLISHED, audit.published);
    this.#table.count(AUDIT_DROPPED, audit.dropped);
    for (const one of verdicts) addTo(this.#verdicts, one);
    this.#table.count(STALE_SERVED, staleServed);
    return found;
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

  publish(settings: KeptSettings, publication: NewPublication, expected: number | null): Publication | null {
    const number = this.#table.publish(settings, publication, expected);
    return number === null ? null : { number, ...publication };
  }

  stats(): SettingsStats {
    const staleServed = this.#table.count(STALE_SERVED, 0);
    const audit = { published: this.#table.count(AUDIT_PUBLISHED, 0), dropped: this.#table.count(AUDIT_DROPPED, 0) };
    return { number: this.#table.current(), staleServed, audit, verdicts: [...this.#verdicts.values()] };
  }
}
