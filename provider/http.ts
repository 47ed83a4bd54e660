/** Calls of a provider's REST API: what their answers, and their silence, say about what was done. */
import type * as z from "zod";
import { ProviderError } from "./provider.ts";

const MAX_DETAIL_CHARS = 300;
/** A provider that says more is asked again after this all the same: meanwhile nothing could be made, nor returned. */
export const LONGEST_RETRY_MS = 3_600_000;
const SECOND_MS = 1000;
/** These say that nothing was ever sent. */
const NEVER_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH"]);

export type Answer = { status: number; headers: Headers; text: string };
export type Call = { method?: "GET" | "POST" | "PUT" | "DELETE"; body?: unknown; signal: AbortSignal };

export type Api = {
  /** An answer below 500 other than 429; throws `ProviderError` for all else. */
  call(path: string, call: Call): Promise<Answer>;
  /** The JSON of an answer below 300, as `schema` has it; throws `ProviderError`. */
  read<T>(path: string, schema: z.ZodType<T>, call: Call): Promise<T>;
};

/** An API at `base`, an address with or without a path, that is signed in to with `key` as a bearer token. */
export function apiAt(base: URL, key: string, detailOf: (text: string) => string): Api {
  const headers = { authorization: `Bearer ${key}`, accept: "application/json", "content-type": "application/json" };
  const root = base.href.replace(/\/$/, "");

  async function call(path: string, { method = "GET", body, signal }: Call): Promise<Answer> {
    let answer: Answer;
    try {
      const init = { method, headers, signal, redirect: "error" as const };
      const response = await fetch(
        `${root}${path}`,
        body === undefined ? init : { ...init, body: JSON.stringify(body) },
      );
      answer = { status: response.status, headers: response.headers, text: await response.text() };
    } catch (error) {
      throw signal.aborted ? new ProviderError("timeout", `${method} ${path}: no answer in time`) : unreached(error);
    }
    const { status, text } = answer;
    if (status === 429) {
      const message = `too many requests: ${brief(detailOf(text))}`;
      throw new ProviderError("rate_limited", message, retryAfterMs(answer.headers));
    }
    if (status >= 500) {
      const message = `it answered ${status}: ${brief(detailOf(text))}`;
      throw new ProviderError("ambiguous", message, retryAfterMs(answer.headers));
    }
    return answer;
  }

  return {
    call,
    async read(path, schema, options) {
      const { status, text } = await call(path, options);
      if (status >= 300) throw new ProviderError("refused", `it answered ${status}: ${brief(detailOf(text))}`);
      return parsed(text, schema, path);
    },
  };
}

/** What is no JSON of that form says nothing about what was done. Throws `ProviderError`. */
export function parsed<T>(text: string, schema: z.ZodType<T>, what: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ProviderError("ambiguous", `${what}: an answer that can't be read: ${brief(why)}`);
  }
}

export function brief(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length > MAX_DETAIL_CHARS ? `${line.slice(0, MAX_DETAIL_CHARS)}…` : line;
}

function unreached(error: unknown): ProviderError {
  const cause = error instanceof Error ? error.cause : null;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : null;
  const why = cause instanceof Error ? cause.message : error instanceof Error ? error.message : String(error);
  return new ProviderError(code !== null && NEVER_SENT.has(code) ? "refused" : "ambiguous", `no answer: ${why}`);
}

/** `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. Null: it isn't there, or says nothing. */
function retryAfterMs(headers: Headers): number | null {
  const said = headers.get("retry-after");
  if (said === null) return null;
  const ms = /^\d+$/.test(said) ? Number(said) * SECOND_MS : Date.parse(said) - Date.now();
  return Number.isFinite(ms) ? Math.min(LONGEST_RETRY_MS, Math.max(0, ms)) : null;
}
