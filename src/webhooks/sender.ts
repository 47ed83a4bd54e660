/** The Durable Object that sends webhooks to one receiver's host: a host that hangs has an object of its own to hang in. */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { objectSql } from "../shard/sql.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { ATTEMPT_TIMEOUT_MS, attempt } from "./attempt.ts";
import { Dispatcher, defaultLimits } from "./dispatcher.ts";
import { webhookSecrets } from "./secrets.ts";
import { createStore } from "./store.ts";
import type { Delivery, RedeliverAnswer, WebhookMessage } from "./types.ts";

/** A run of the alarm that breaks off is repeated after this time. */
const RE_ARM_MS = 5000;

export class WebhookSender extends DurableObject<Env> {
  readonly #dispatcher: Dispatcher;
  #alarmAt: number | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const now = () => this.now();
    this.#dispatcher = new Dispatcher({
      store: createStore(objectSql(ctx.storage)),
      limits: defaultLimits,
      now,
      random: Math.random,
      attempt: (message) => {
        const outcome = attempt(message, {
          now,
          fetch: (url, init) => fetch(url, init),
          secrets: (accountId) => webhookSecrets(env, accountId),
          allowLoopback: env.ALLOW_LOOPBACK_TARGETS === "1",
          timeoutMs: ATTEMPT_TIMEOUT_MS,
        });
        ctx.waitUntil(outcome);
        return outcome;
      },
      transaction: (change) => ctx.storage.transactionSync(change),
      wakeAt: (at) => this.#wakeAt(at),
    });
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
