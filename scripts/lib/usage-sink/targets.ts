/**
 * Where usage goes: what is sent for which records, and how an answer is to be taken.
 *
 * OpenMeter: https://openmeter.io/docs (`POST /api/v1/events`, a batch of CloudEvents; it knows an event again by
 * `source` and `id`). Stripe: https://docs.stripe.com/api/billing/meter-event (one event a call; it knows one again by
 * `identifier`, for a day at least, and takes none that is older than 35 days).
 */
import type { UsageEvent } from "../../../src/metering/cloud-event.ts";

const DAY_MS = 86_400_000;

/**
 * `done`: it has it, now or from before. `refused`: it never will take it. `misconfigured`: it takes nothing of ours.
 */
export type Verdict = "done" | "again" | "refused" | "misconfigured";

export type SinkRequest = { url: string; headers: Record<string, string>; body: string };

export type Target = {
  name: string;
  /** Events in one request. */
  batch: number;
  /** After so long since it was sent first, an event may not be known again: it is not sent another time. */
  resendMs: number;
  /** Why the event is not for this target: `ignored` says nothing to anybody, else it is a dead letter; null: it is. */
  refusal(event: UsageEvent, now: number): "ignored" | { reason: string } | null;
  request(events: readonly UsageEvent[]): SinkRequest;
  verdict(status: number, body: string): Verdict;
};

export function openMeter({ url, token }: { url: string; token: string | undefined }): Target {
  return {
    name: "openmeter",
    batch: 100,
    resendMs: Infinity,
    refusal: () => null,
    request: (events) => ({
      url: `${url.replace(/\/$/, "")}/api/v1/events`,
      headers: {
        "content-type": "application/cloudevents-batch+json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(events),
    }),
    verdict: verdictOf,
  };
}

/**
 * `meter`: the `event_name` of the meter, and what of a record is its value: `costNano`, `gpuUs`, `runMs`, or a unit by
 * its name. `customers`: Stripe's customers by account.
 */
export type StripeOptions = {
  url: string;
  key: string;
  meter: { event: string; value: string };
  customers: Readonly<Record<string, string>>;
};

/** Stripe takes 35 days back; an hour is left for clocks that differ. */
const STRIPE_BACK_MS = 35 * DAY_MS - 3_600_000;
const STRIPE_RESEND_MS = DAY_MS - 3_600_000;

export function stripe({ url, key, meter, customers }: StripeOptions): Target {
  const customerOf = (account: string) => (Object.hasOwn(customers, account) ? customers[account] : undefined);
  return {
    name: "stripe",
    batch: 1,
    resendMs: STRIPE_RESEND_MS,
    refusal(event, now) {
      const value = valueOf(event, meter.value);
      if (value === 0) return "ignored";
      if (customerOf(event.subject) === undefined) return { reason: "the account has no customer" };
      if (value < 0) return { reason: "a meter takes nothing back: credit the customer by hand" };
      if (now - Date.parse(event.time) > STRIPE_BACK_MS) return { reason: "it is older than 35 days" };
      return null;
    },
    request(events) {
      const [event] = events;
      if (event === undefined) throw new Error("there is nothing to send");
      const body = new URLSearchParams({
        event_name: meter.event,
        identifier: event.id,
        timestamp: String(Math.floor(Date.parse(event.time) / 1000)),
        "payload[stripe_customer_id]": customerOf(event.subject) ?? "",
        "payload[value]": String(valueOf(event, meter.value)),
      });
      return {
        url: `${url.replace(/\/$/, "")}/v1/billing/meter_events`,
        headers: { authorization: `Bearer ${key}`, "content-type": "application/x-www-form-urlencoded" },
        body: body.toString(),
      };
    },
    verdict: (status, body) => (status === 400 && /already exists|duplicate/i.test(body) ? "done" : verdictOf(status)),
  };
}

/** Whole and billed; 0: there is nothing to tell. */
function valueOf({ data }: UsageEvent, name: string): number {
  if (data.kind !== "attempt" || !data.billed) return 0;
  const known: Record<string, number> = { costNano: data.costNano, gpuUs: data.gpuUs, runMs: data.runMs };
  const value = Object.hasOwn(known, name) ? known[name] : Object.hasOwn(data.units, name) ? data.units[name] : 0;
  return Math.round(value ?? 0);
}

function verdictOf(status: number): Verdict {
  if (status >= 200 && status < 300) return "done";
  if (status === 409) return "done";
  if (status === 401 || status === 403 || status === 404) return "misconfigured";
  return status === 408 || status === 425 || status === 429 || status >= 500 ? "again" : "refused";
}
