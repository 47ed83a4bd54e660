/**
 * A dispatcher of webhooks on real SQL, with a clock that moves when told to, and receivers that answer what the test
 * says.
 */
import type { Outbound, Outcome } from "../../src/webhooks/attempt.ts";
import { Dispatcher, defaultLimits } from "../../src/webhooks/dispatcher.ts";
import type { Limits } from "../../src/webhooks/dispatcher.ts";
import { createStore } from "../../src/webhooks/store.ts";
import type { WebhookMessage } from "../../src/webhooks/types.ts";
import { memorySql } from "./memory-sql.ts";

export const START_AT = 1_800_000_000_000;
export const HOUR_MS = 3_600_000;

export type Answer = Partial<Outcome> & { afterMs?: number };

/** A dispatcher on a clock of its own: `run` lets time pass, alarm by alarm. */
export function createWorld(answer: (message: Outbound, now: number) => Answer, limits: Partial<Limits> = {}) {
  let now = START_AT;
  let alarmAt: number | null = null;
  const sql = memorySql();
  const store = createStore(sql);
  const sent: { webhookId: string; accountId: string; url: string; at: number; body: string }[] = [];
  const timers: { at: number; run: () => void }[] = [];
  let mostInFlight = 0;
  let inFlight = 0;
  const create = () =>
    new Dispatcher({
      store,
      limits: { ...defaultLimits, ...limits },
      now: () => now,
      random: () => 0.5,
      transaction: (change) => change(),
      wakeAt: (at) => {
        if (alarmAt === null || at < alarmAt) alarmAt = at;
      },
      databaseBytes: () =>
        Number(
          sql("SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()")[0]?.["bytes"],
        ),
      attempt: async (message) => {
        const { webhookId, accountId, url, body } = message;
        sent.push({ webhookId, accountId, url, at: now, body });
        inFlight += 1;
        mostInFlight = Math.max(mostInFlight, inFlight);
        const { afterMs = 0, ...outcome } = answer(message, now);
        await new Promise<void>((run) => timers.push({ at: now + afterMs, run }));
        inFlight -= 1;
        return {
          result: "delivered",
          status: 200,
          error: null,
          response: "",
          retryAfterMs: null,
          hostFailed: false,
          ...outcome,
        };
      },
    });
  let dispatcher = create();
  return {
    sent,
    store,
    get dispatcher() {
      return dispatcher;
    },
    get now() {
      return now;
    },
    mostInFlight: () => mostInFlight,
    /** Messages by whether they have ended. */
    counts(): { open: number; finished: number } {
      const [row] = sql("SELECT count(*) - count(finished_at) AS open, count(finished_at) AS finished FROM messages");
      return { open: Number(row?.["open"]), finished: Number(row?.["finished"]) };
    },
    alarmAt: () => alarmAt,
    /** Forgets what was in memory, as when the object is reset. */
    reset() {
      timers.length = 0;
      inFlight = 0;
      dispatcher = create();
      dispatcher.pump();
    },
    /** Lets `durationMs` pass. */
    async run(durationMs: number) {
      const end = now + durationMs;
      for (let step = 0; step < 200_000; step += 1) {
        const next = Math.min(alarmAt ?? Infinity, ...timers.map(({ at }) => at));
        if (next > end) break;
        now = Math.max(now, next);
        const due = timers.filter(({ at }) => at <= now);
        for (const timer of due) timers.splice(timers.indexOf(timer), 1);
        for (const timer of due) timer.run();
        for (let turn = 0; turn < 4; turn += 1) await Promise.resolve();
        if (alarmAt !== null && alarmAt <= now) {
          alarmAt = null;
          if (dispatcher.wake()) alarmAt = now;
        }
      }
      now = end;
    },
  };
}

export function message(
  predictionId: string,
  event: WebhookMessage["event"],
  rest: Partial<WebhookMessage> = {},
): WebhookMessage {
  return {
    webhookId: `msg_${predictionId}_${event}`,
    predictionId,
    accountId: "a",
    url: `https://example.com/${rest.accountId ?? "a"}`,
    event,
    body: JSON.stringify({ predictionId, event }),
    createdAt: START_AT,
    ...rest,
  };
}

export const failed: Answer = { result: "failed", status: 500, error: "The receiver answered 500." };
