/** What the embedded log reads of a consume's headers, beyond what every door does. */
import * as z from "zod";
import { consumeHeaders } from "../../contract/kafka-requests.ts";
import type { DialectRequest } from "../../contract/kafka-requests.ts";
import { parse } from "../../contract/kafka-schemas.ts";
import type { MemberOptions } from "../../log/protocol.ts";

/** Header that sends a consume to one broker of the embedded log. */
export const BROKER_HEADER = "edgeplane-broker";

export const MAX_TIMEOUT_MS = 60_000;
const SESSION_HEADER = "Kafka-Session-Timeout-Ms";
const DEFAULT_TIMEOUT_MS = 1000;
const DEFAULT_SESSION_MS = 120_000;

/** How long a call waits. Longer than a minute is cut to it. */
export function waitMs(timeoutMs: number | undefined): number {
  return Math.min(timeoutMs ?? DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS);
}

/** The settings of an instance, from the headers of its first consume. */
export function memberOptions(request: DialectRequest): MemberOptions {
  const { autoCommit, autoCommitIntervalMs, offsetReset } = consumeHeaders(request);
  const session = request.header(SESSION_HEADER) ?? String(DEFAULT_SESSION_MS);
  const sessionTimeoutMs = parse(z.coerce.number().int().min(1000).max(600_000), session, SESSION_HEADER);
  return { autoCommit, autoCommitIntervalMs, reset: offsetReset, sessionTimeoutMs };
}

export function brokerIndex(text: string | undefined): number | null {
  return text === undefined ? null : parse(z.coerce.number().int().min(0).max(10_000), text, BROKER_HEADER);
}
