/** The object of one account: the outputs that are remembered for it. */
import { DurableObject } from "cloudflare:workers";
import type { Answer } from "../../plugins/kernel/phases.ts";
import type { Env } from "../env.ts";
import { objectSql } from "../shard/object-sql.ts";
import { createResponseTable } from "./table.ts";
import type { ResponseEntry, ResponseTable } from "./table.ts";

/** How often what is over is looked for, as long as anything is left. */
const CLEAN_MS = 3_600_000;

export class ResponseCache extends DurableObject<Env> {
  readonly #table: ResponseTable;
  #alarmIsSet = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#table = createResponseTable(objectSql(ctx.storage));
  }

  find(key: string): Answer | null {
    return this.#table.find(key, Date.now());
  }

  async put(entries: ResponseEntry[]): Promise<void> {
    for (const entry of entries) this.#table.put(entry, Date.now());
    if (this.#alarmIsSet) return;
    this.#alarmIsSet = true;
    if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(Date.now() + CLEAN_MS);
  }

  forget(key: string): void {
    this.#table.forget(key);
  }

  override async alarm(): Promise<void> {
    if (this.#table.clean(Date.now())) {
      await this.ctx.storage.setAlarm(Date.now() + CLEAN_MS);
      return;
    }
    this.#table.forgetSchema();
    this.#alarmIsSet = false;
    await this.ctx.storage.deleteAll();
  }
}
