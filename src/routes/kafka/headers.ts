/** What the embedded log reads of a consume's headers, beyond what every door does. */
import * as z from "zod";
import { CLAIM_HEADER } from "../../contract/claim.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { consumeHeaders } from "../../contract/kafka-requests.ts";
import type { DialectRequest } from "../../contract/kafka-requests.ts";
import { parse } from "../../contract/kafka-schemas.ts";
import type { ClaimOrder, MemberOptions } from "../../log/protocol.ts";

/** Header that sends a consume to one broker of the embedded log. */
export const BROKER_HEADER = "edgeplane-broker";

export const MAX_TIMEOUT_MS = 60_000;
const SESSION_HEADER = "Kafka-Session-Timeout-Ms";
const DEFAULT_TIMEOUT_MS = 1000;
const DEFAULT_SESSION_MS = 120_000;
/** A pool that dies must not keep its partitions for long. */
const POOL_SESSION_MS = 10_000;

/** How long a call waits. Longer than a minute is cut to it. */
export function waitMs(timeoutMs: number | undefined): number {
  return Math.min(timeoutMs ?? DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS);
}

/** The settings of an instance, from the headers of its first consume. */
export function memberOptions(request: DialectRequest, isPool: boolean): MemberOptions {
  const { autoCommit, autoCommitIntervalMs, offsetReset } = consumeHeaders(request);
  const session = request.header(SESSION_HEADER) ?? String(isPool ? POOL_SESSION_MS : DEFAULT_SESSION_MS);
  const sessionTimeoutMs = parse(z.coerce.number().int().min(1000).max(600_000), session, SESSION_HEADER);
  return { autoCommit, autoCommitIntervalMs, reset: offsetReset, sessionTimeoutMs };
}

export function brokerIndex(text: string | undefined): number | null {
  return text === undefined ? null : parse(z.coerce.number().int().min(0).max(10_000), text, BROKER_HEADER);
}

/** `<session>;start=<n>`: claim what is returned for the session, and start n of it at once. */
export function claimOrder(text: string | undefined, lanes: readonly string[] | null): ClaimOrder | null {
  if (text === undefined) return null;
  if (lanes === null)
    throw new EdgeplaneError("forbidden", `Only a pool's token may claim; leave \`${CLAIM_HEADER}\` out.`);
  const match = /^([^;\s]{8,64})\s*;\s*start=(\d{1,5})$/.exec(text);
  if (match === null) {
    throw new EdgeplaneError(
      "invalid_request",
      `\`${CLAIM_HEADER}\` must read \`<session>;start=<n>\`, the session of 8 to 64 characters.`,
    );
  }
  return { session: match[1] ?? "", startNow: Number(match[2]), lanes: [...lanes] };
}
