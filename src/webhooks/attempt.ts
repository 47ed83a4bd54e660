/** One try of one message: a signed POST, never redirected, bounded in time and in what is read of the answer. */
import { within } from "../shard/within.ts";
import { signedHeaders } from "./signature.ts";
import { parseRetryAfter } from "./schedule.ts";
import { checkTarget } from "./target.ts";

export const ATTEMPT_TIMEOUT_MS = 10_000;
/** A database that hangs keeps none of the host's requests; both together are within a helper's time. */
export const SECRETS_TIMEOUT_MS = 4000;
export const RESPONSE_BYTES = 4096;

/**
 * How a try ended. `delivered`: 2xx. `gone`: 410, the receiver wants no more at this URL. `refused`: the target is not
 * allowed, nothing was sent. `failed`: anything else; `hostFailed` when it says something of the host rather than of
 * this URL. `unsent`: a fault on our side, which costs the message no try.
 */
export type Outcome = {
  result: "delivered" | "gone" | "refused" | "failed" | "unsent";
  status: number | null;
  error: string | null;
  response: string | null;
  retryAfterMs: number | null;
  hostFailed: boolean;
};

export type AttemptDeps = {
  /** Milliseconds since the epoch. */
  now: () => number;
  fetch: (url: string, init: RequestInit) => Promise<Response>;
  secrets: (accountId: string) => Promise<string[]>;
  allowLoopback: boolean;
  timeoutMs: number;
};

export type Outbound = { webhookId: string; accountId: string; url: string; body: string };

/** Sends it once. Never throws. */
export async function attempt(message: Outbound, deps: AttemptDeps): Promise<Outcome> {
  const target = checkTarget(message.url, { allowLoopback: deps.allowLoopback });
  if (!target.ok) return outcome("refused", { error: `The URL is refused: ${target.reason}.` });
  let secrets: string[];
  try {
    secrets = await within(deps.secrets(message.accountId), SECRETS_TIMEOUT_MS);
  } catch {
    return outcome("unsent", { error: "The signing secret could not be read." });
  }
  if (secrets.length === 0) return outcome("refused", { error: "The account is gone, so nothing can be signed." });
  const now = deps.now();
  const signal = AbortSignal.timeout(deps.timeoutMs);
  try {
    const headers = await signedHeaders(message.webhookId, Math.floor(now / 1000), message.body, secrets);
    const response = await deps.fetch(target.url.href, {
      method: "POST",
      redirect: "manual",
      headers: { "content-type": "application/json", "user-agent": "Edgeplane-Webhooks/1", ...headers },
      body: message.body,
      signal,
    });
    return await judge(response, now);
  } catch {
    const error = signal.aborted
      ? `No answer within ${deps.timeoutMs / 1000} s.`
      : "The receiver could not be reached (name, connection or TLS).";
    return outcome("failed", { error, hostFailed: true });
  }
}

async function judge(response: Response, now: number): Promise<Outcome> {
  const { status } = response;
  const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), now);
  const text = await readStart(response);
  if (status >= 200 && status < 300) return outcome("delivered", { status, response: text });
  if (status === 410) return outcome("gone", { status, response: text, error: "The receiver answered 410 Gone." });
  const location = response.headers.get("location");
  const error =
    status >= 300 && status < 400
      ? `The receiver redirects${location === null ? "" : ` to ${location.slice(0, 200)}`}; redirects are not followed.`
      : `The receiver answered ${status}.`;
  return outcome("failed", { status, response: text, error, retryAfterMs, hostFailed: status >= 500 });
}

/** The status has decided already: a body that breaks off or hangs changes nothing. */
async function readStart(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let sizeBytes = 0;
  try {
    const stream: ReadableStream<Uint8Array> | null = response.body;
    if (stream === null) return "";
    const reader = stream.getReader();
    while (sizeBytes < RESPONSE_BYTES) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      const part = value.subarray(0, RESPONSE_BYTES - sizeBytes);
      sizeBytes += part.byteLength;
      text += decoder.decode(part, { stream: true });
    }
    await reader.cancel();
  } catch {
    return text;
  }
  return text;
}

function outcome(result: Outcome["result"], rest: Partial<Outcome>): Outcome {
  return { result, status: null, error: null, response: null, retryAfterMs: null, hostFailed: false, ...rest };
}
