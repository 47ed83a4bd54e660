/**
 * The object of one subject's money: its ledger, and the alerts of its budgets until the senders of webhooks have them.
 * Every call is stored before it is answered.
 */
import { DurableObject } from "cloudflare:workers";
import type { MoneySpec } from "../../plugins/kernel/allowance.ts";
import type { Group, GroupAnswer, Settlement } from "../allowance/types.ts";
import type { Env } from "../env.ts";
import { objectSql } from "../shard/object-sql.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { enqueueWebhooks, receiverOf } from "../webhooks/client.ts";
import { createLedger } from "./ledger.ts";
import type { LedgerState } from "./ledger.ts";
import { createLedgerRows } from "./rows.ts";
import type { Alert, Paid } from "./rows.ts";

/** How soon an alert is handed on again that its sender did not take. */
const AGAIN_MS = 30_000;

export class LedgerObject extends DurableObject<Env> {
  readonly #rows;
  readonly #ledger;
  #isTelling = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#rows = createLedgerRows(objectSql(ctx.storage));
    this.#ledger = createLedger(this.#rows);
  }

  take(groups: Group[]): GroupAnswer[] {
    const answers = this.#ledger.take(groups, Date.now());
    this.#tellSoon();
    return answers;
  }

  settle(settlements: Settlement[]): void {
    this.#ledger.settle(settlements, Date.now());
    this.#tellSoon();
  }

  /** Pays into a balance, once for each key; null: it would be more than can be counted. */
  payIn(key: string, payment: Paid): { paid: Paid; isNew: boolean } | null {
    const paid = this.#ledger.payIn(key, payment);
    this.#tellSoon();
    return paid;
  }

  read(asked: { bucket: string; spec: MoneySpec }[]): LedgerState[] {
    return asked.map(({ bucket, spec }) => this.#ledger.read(bucket, spec, Date.now()));
  }

  forget(bucket: string): void {
    this.#ledger.forget(bucket);
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + AGAIN_MS);
    try {
      await this.#tell();
      if (this.#rows.alerts().length === 0) await this.ctx.storage.deleteAlarm();
    } catch (error) {
      log.error("ledger_alarm_failed", { reason: reasonOf(error) });
    }
  }

  #tellSoon(): void {
    if (this.#isTelling || !this.#ledger.takeNews()) return;
    this.#isTelling = true;
    this.ctx.waitUntil(
      this.alarm().finally(() => {
        this.#isTelling = false;
        // What came meanwhile may stand on a page that was read before.
        this.#tellSoon();
      }),
    );
  }

  /** All that wait: those of a receiver that is away keep none of another's back. */
  async #tell(): Promise<void> {
    const away = new Set<string>();
    for (let page = this.#rows.alerts(); page.length > 0; page = this.#rows.alerts(page.at(-1)?.[0])) {
      const here = page.filter(([, { url }]) => !away.has(receiverOf(this.env, url)));
      const messages = here.map(([id, alert]) => messageOf(id, alert));
      for (const receiver of (await enqueueWebhooks(this.env, messages)).keys()) away.add(receiver);
      for (const [id, { url }] of here) if (!away.has(receiverOf(this.env, url))) this.#rows.removeAlert(id);
    }
  }
}

/** The log of deliveries lists it under its own id: no prediction has sent it. */
function messageOf(id: string, { url, account, body, at }: Alert) {
  return { webhookId: id, predictionId: id, accountId: account, url, event: "completed", body, createdAt: at } as const;
}
