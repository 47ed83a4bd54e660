/**
 * The Durable Object that sends webhooks to one receiver's host: a host that hangs has an object of its own to hang in.
 * Where one object's connections are not enough, others of the same class send for it; they keep nothing.
 */
import { DurableObject } from "cloudflare:workers";
import { numericVar } from "../contract/numeric-vars.ts";
import type { Env } from "../env.ts";
import { objectNamed } from "../object-calls.ts";
import { objectSql } from "../shard/object-sql.ts";
import { within } from "../shard/within.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { ATTEMPT_TIMEOUT_MS, attempt } from "./attempt.ts";
import type { Outbound, Outcome } from "./attempt.ts";
import { receiverOf } from "./client.ts";
import { Dispatcher, defaultLimits } from "./dispatcher.ts";
import { webhookSecrets } from "./secrets.ts";
import { createSpread } from "./spread.ts";
import { createStore } from "./store.ts";
import type { Delivery, RedeliverAnswer, WebhookMessage } from "./types.ts";

/** A run of the alarm that breaks off is repeated after this time. */
const RE_ARM_MS = 5000;
/** What a helper's answer may take beyond the receiver's. */
const HELPER_PATIENCE_MS = ATTEMPT_TIMEOUT_MS + 5000;

export class WebhookSender extends DurableObject<Env> {
  #known: Dispatcher | null = null;
  #alarmAt: number | null = null;

  /** Made when it is first needed: a helper has none, and no tables. */
  get #dispatcher(): Dispatcher {
    this.#known ??= this.#open();
    return this.#known;
  }

  #open(): Dispatcher {
    const { ctx, env } = this;
    return new Dispatcher({
      store: createStore(objectSql(ctx.storage)),
      limits: {
        ...defaultLimits,
        hostRequests: numericVar(env, "WEBHOOK_HOST_REQUESTS"),
        accountBytes: numericVar(env, "WEBHOOK_ACCOUNT_BYTES"),
        accountLogBytes: numericVar(env, "WEBHOOK_ACCOUNT_LOG_BYTES"),
      },
      now: () => this.now(),
      random: Math.random,
      attempt: createSpread(
        (message) => this.tryOnce(message),
        (number, message) => this.#askHelper(number, message),
      ),
      transaction: (change) => ctx.storage.transactionSync(change),
      wakeAt: (at) => this.#wakeAt(at),
      databaseBytes: () => ctx.storage.sql.databaseSize,
    });
  }

  /** Sends a message once, for the sender of its host, which remembers what became of it. */
  tryOnce({ webhookId, accountId, url, body }: Outbound): Promise<Outcome> {
    const { ctx, env } = this;
    const outcome = attempt(
      { webhookId, accountId, url, body },
      {
        now: () => this.now(),
        fetch: (target, init) => fetch(target, init),
        secrets: (account) => webhookSecrets(env, account),
        allowLoopback: env.ALLOW_LOOPBACK_TARGETS === "1",
        timeoutMs: ATTEMPT_TIMEOUT_MS,
      },
    );
    ctx.waitUntil(outcome);
    return outcome;
  }

  /** A helper's name is no host's: none holds a blank. */
  #askHelper(number: number, { webhookId, accountId, url, body }: Outbound): Promise<Outcome> {
    const helper = objectNamed(this.env.WEBHOOKS, `${receiverOf(this.env, url)} helper ${number}`);
    const outcome = within(helper.tryOnce({ webhookId, accountId, url, body }), HELPER_PATIENCE_MS);
    this.ctx.waitUntil(outcome.catch(() => {}));
    return outcome;
  }

  /** Takes messages: durable when it returns, each once by its `webhookId`. At most 500 messages or 1 MiB a call. */
  enqueue(messages: WebhookMessage[]): void {
    this.#dispatcher.enqueue(messages);
  }

  /** The delivery log of a prediction, in the order of delivery; kept 7 days after the end of each message. */
  deliveries(predictionId: string): Delivery[] {
    return this.#dispatcher.deliveries(predictionId);
  }

  /** Sends a message again, with the same `webhook-id`. */
  redeliver(predictionId: string, webhookId: string): RedeliverAnswer {
    return this.#dispatcher.redeliver(predictionId, webhookId);
  }

  /** The bodies of these predictions' messages go: at once, and (`keep`) of those that wait when they have ended. */
  forget(predictionIds: string[], waiting: "keep" | "drop"): void {
    this.#dispatcher.forget(predictionIds, waiting);
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + RE_ARM_MS);
    try {
      this.#alarmAt = null;
      const more = this.#dispatcher.wake();
      if (more) this.#wakeAt(this.now());
      if (this.#alarmAt === null) await this.ctx.storage.deleteAlarm();
    } catch (error) {
      log.error("webhooks_alarm_failed", { reason: reasonOf(error) });
      this.#alarmAt = Date.now() + RE_ARM_MS;
    }
  }

  /** Milliseconds since the epoch. */
  protected now(): number {
    return Date.now();
  }

  #wakeAt(at: number): void {
    const alarmAt = Date.now() + Math.max(at - this.now(), 0);
    if (this.#alarmAt !== null && this.#alarmAt <= alarmAt && this.#alarmAt > Date.now()) return;
    this.#alarmAt = alarmAt;
    this.ctx.waitUntil(this.ctx.storage.setAlarm(alarmAt));
  }
}
