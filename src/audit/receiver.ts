/**
 * An operator's own receiver of verdicts: signed POSTs in the form of Standard Webhooks
 * (https://github.com/standard-webhooks/standard-webhooks), each with a batch of events.
 */
import type { LogRecord } from "../log/types.ts";
import { signedHeaders } from "../webhooks/signature.ts";
import { checkTarget } from "../webhooks/target.ts";

const LIMIT_MS = 4000;
/** 24 to 64 bytes in base64, as the specification has it. */
const SECRET = /^whsec_[A-Za-z0-9+/]{32,86}={0,2}$/;

export type Receiver = { url: string; secret: string };
export type ReceiverDeps = { now(): number; fetch(url: string, init: RequestInit): Promise<Response> };

/** Throws for an address that may not be called, or a secret that nothing can be signed with. */
export function checkReceiver({ url, secret }: Receiver, allowLoopback: boolean): void {
  const target = checkTarget(url, { allowLoopback });
  if (!target.ok) throw new Error(`the URL ${target.reason}`);
  if (!SECRET.test(secret)) throw new Error("the secret must be `whsec_` and the base64 of 24 to 64 random bytes");
}

/** Sends a batch once, and follows no redirect. Throws unless the receiver answers 2xx in time. */
export async function postEvents(
  { url, secret }: Receiver,
  records: readonly LogRecord[],
  { now, fetch }: ReceiverDeps,
): Promise<void> {
  const body = `{"events":[${records.map(({ value }) => value).join(",")}]}`;
  const signed = await signedHeaders(`msg_${crypto.randomUUID()}`, Math.floor(now() / 1000), body, [secret]);
  const response = await fetch(url, {
    method: "POST",
    redirect: "manual",
    headers: { "content-type": "application/json", "user-agent": "Edgeplane-Webhooks/1", ...signed },
    body,
    signal: AbortSignal.timeout(LIMIT_MS),
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`the receiver answered ${response.status}`);
}
