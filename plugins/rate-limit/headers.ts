/**
 * What an answer says of limits: `RateLimit` and `RateLimit-Policy`
 * (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/, Structured Fields of RFC 9651), and
 * `x-ratelimit-{limit,remaining,reset}-<unit>` as OpenAI's clients know them, of each unit the limit that is nearest.
 */
import type { BucketState } from "../kernel/allowance.ts";
import type { Limit } from "./config.ts";

export type LimitState = { limit: Limit; state: BucketState };

/** Quota units of the draft's registry; `requests` is what holds where none is named. */
const quotaUnits = {
  requests: null,
  bytes: "content-bytes",
  concurrency: "concurrent-requests",
  cost: "cost",
} as const;
/** The largest integer of a Structured Field. */
const MAX_INTEGER = 999_999_999_999_999;

/** All that `limitHeaders` may say. */
export const limitHeaderNames: readonly string[] = [
  ...["ratelimit", "ratelimit-policy"],
  ...Object.keys(quotaUnits).flatMap((unit) =>
    ["limit", "remaining", "reset"].map((what) => `x-ratelimit-${what}-${unit}`),
  ),
];

export function limitHeaders(limits: readonly LimitState[]): Record<string, string> {
  const headers: Record<string, string> = {
    "ratelimit-policy": limits.map(({ limit }) => policyOf(limit)).join(", "),
    ratelimit: limits.map(({ limit, state }) => leftOf(limit, state)).join(", "),
  };
  for (const [unit, own] of Map.groupBy(limits, ({ limit }) => limit.of)) {
    const [nearest] = own.toSorted((a, b) => shareOf(a) - shareOf(b));
    if (nearest === undefined) continue;
    headers[`x-ratelimit-limit-${unit}`] = String(nearest.limit.limit);
    headers[`x-ratelimit-remaining-${unit}`] = String(integer(nearest.state.remaining));
    headers[`x-ratelimit-reset-${unit}`] = duration(nearest.state.resetMs);
  }
  return headers;
}

function policyOf(limit: Limit): string {
  const unit = quotaUnits[limit.of];
  const window = "windowMs" in limit ? `;w=${seconds(limit.windowMs)}` : "";
  return `"${limit.name}";q=${integer(limit.limit)}${unit === null ? "" : `;qu="${unit}"`}${window}`;
}

function leftOf(limit: Limit, { remaining, resetMs }: BucketState): string {
  return `"${limit.name}";r=${integer(remaining)}${limit.of === "concurrency" ? "" : `;t=${seconds(resetMs)}`}`;
}

function shareOf({ limit, state }: LimitState): number {
  return limit.limit === 0 ? 0 : state.remaining / limit.limit;
}

function seconds(ms: number): number {
  return integer(Math.ceil(ms / 1000));
}

function integer(value: number): number {
  return Math.min(MAX_INTEGER, Math.max(0, Math.floor(value)));
}

/** `1h2m3s` or `250ms`, as Go writes durations. */
function duration(ms: number): string {
  const whole = Math.ceil(Math.max(0, ms));
  if (whole < 1000) return `${whole}ms`;
  const all = seconds(ms);
  const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor((all % 3600) / 60), all % 60];
  return `${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${rest}s`;
}
