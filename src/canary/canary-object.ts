/**
 * The object of one canary, named by its id. Shards report once a second what became of its predictions; it ends the
 * canary in the registry when its version fails more often than the base, and moves it on by its steps. It stores one
 * row, once a second at most, and nothing once the canary has ended.
 */
import { DurableObject } from "cloudflare:workers";
import * as z from "zod";
import { CountsSchema } from "../contract/canary.ts";
import type { Counts } from "../contract/canary.ts";
import type { Env } from "../env.ts";
import { openSchema } from "../object-schema.ts";
import type { Schema } from "../object-schema.ts";
import { createObjectTimers } from "../object-timers.ts";
import { endCanary, moveOn, promoteCanary, readCanaryById } from "../registry/canaries.ts";
import type { Canary } from "../registry/canaries.ts";
import { objectSql } from "../shard/object-sql.ts";
import type { Sql } from "../shard/sql.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { createWatch } from "./watch.ts";
import type { Decision, Report, Watch } from "./watch.ts";

const STORE_MS = 1000;
/** How long the registry's word that the canary runs is believed: percentages and steps may be changed meanwhile. */
const BELIEVED_MS = 5000;
/** How often it is looked whether the canary has ended without a report. */
const LOOK_MS = 7 * 86_400_000;

const StoredSchema = z.object({
  id: z.string(),
  counts: CountsSchema,
  looked: z.object({ failed: z.number(), unstarted: z.number() }),
  step: z.number(),
  stepFrom: z.number(),
  stepAt: z.number().nullable().default(null),
});

export const canarySchema: Schema = {
  name: "canary",
  steps: [
    {
      up: (sql) => {
        sql("CREATE TABLE IF NOT EXISTS kept (one INTEGER PRIMARY KEY CHECK (one = 1), value TEXT NOT NULL)");
      },
    },
  ],
};

/** What a shard is told: that the canary has ended, or after how long to report again. */
export type ReportAnswer = { hasEnded: boolean; everyMs: number };

export class CanaryWatch extends DurableObject<Env> {
  readonly #sql: Sql;
  readonly #timers = createObjectTimers();
  #watch: Watch;
  #id: string;
  /** What was decided and not done yet: the registry may be away. */
  #decision: Decision = null;
  #isActing = false;
  #canary: { value: Canary | null; until: number } | null = null;
  #isStored: boolean;
  #willStore = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = objectSql(ctx.storage);
    const hasTable = this.#sql("SELECT 1 FROM sqlite_master WHERE name = 'kept'").length > 0;
    const [row] = hasTable ? this.#sql("SELECT value FROM kept") : [];
    const stored = row === undefined ? null : StoredSchema.parse(JSON.parse(String(row["value"])));
    this.#isStored = stored !== null;
    this.#id = stored?.id ?? "";
    this.#watch = createWatch(stored ?? undefined);
  }

  async report(id: string, report: Report): Promise<ReportAnswer> {
    this.#id = id;
    const canary = await this.#running(id);
    if (canary === null) {
      await this.#forget();
      return { hasEnded: true, everyMs: this.#watch.everyMs() };
    }
    if (this.#watch.add(report)) this.#storeSoon();
    await this.#act(canary);
    return { hasEnded: false, everyMs: this.#watch.everyMs() };
  }

  /** What is counted so far. */
  counts(): Counts {
    return this.#watch.kept.counts;
  }

  /** The canary has ended: its counts are no longer kept. Answers them. */
  async close(): Promise<Counts> {
    const counts = this.counts();
    await this.#forget();
    return counts;
  }

  override async alarm(): Promise<void> {
    const canary = await readCanaryById(this.env.DB, this.#id);
    if (canary === null || canary.end !== null) await this.#forget();
    else await this.ctx.storage.setAlarm(Date.now() + LOOK_MS);
  }

  /** The registry is asked anew from time to time; null: the canary has ended. */
  async #running(id: string): Promise<Canary | null> {
    if (this.#canary === null || Date.now() >= this.#canary.until) {
      const value = await readCanaryById(this.env.DB, id);
      this.#canary = { value, until: Date.now() + BELIEVED_MS };
    }
    const { value } = this.#canary;
    return value === null || value.end !== null ? null : value;
  }

  /** One at a time: reports go on coming while the registry is asked. */
  async #act(canary: Canary): Promise<void> {
    if (this.#isActing) return;
    const decision = this.#decision ?? this.#watch.decide(canary, Date.now());
    if (decision === null) return;
    this.#decision = decision;
    this.#isActing = true;
    try {
      await this.#carryOut(canary, decision);
      this.#decision = null;
      this.#canary = null;
    } finally {
      this.#isActing = false;
    }
  }

  async #carryOut(canary: Canary, decision: NonNullable<Decision>): Promise<void> {
    if (decision.type === "step") {
      await moveOn(this.env.DB, canary, decision.to);
      return;
    }
    const { reason } = decision;
    const numbers = structuredClone(this.counts());
    const hasChanged =
      decision.type === "return"
        ? await endCanary(this.env.DB, canary, { outcome: "returned", reason, numbers })
        : await promoteCanary(this.env.DB, canary, { reason, numbers }, canary.stepAt);
    if (hasChanged)
      log.warn("canary_ended", { canary: canary.id, pointer: canary.pointer, outcome: decision.type, reason });
  }

  /** Counts that were not stored yet are lost with the object's memory: they only put a decision off. */
  #storeSoon(): void {
    if (this.#willStore) return;
    this.#willStore = true;
    this.#timers.after(STORE_MS, () => {
      this.#willStore = false;
      if (this.#canary?.value?.end === null) this.#store();
    });
  }

  #store(): void {
    try {
      if (!this.#isStored) openSchema(this.#sql, canarySchema);
      this.#sql("INSERT OR REPLACE INTO kept VALUES (1, ?)", JSON.stringify({ id: this.#id, ...this.#watch.kept }));
    } catch (error) {
      log.warn("canary_not_stored", { reason: reasonOf(error) });
      return;
    }
    if (this.#isStored) return;
    this.#isStored = true;
    void this.ctx.storage.setAlarm(Date.now() + LOOK_MS);
  }

  async #forget(): Promise<void> {
    this.#watch = createWatch();
    this.#canary = null;
    this.#decision = null;
    if (!this.#isStored) return;
    this.#isStored = false;
    await this.ctx.storage.deleteAll();
  }
}
