/** The HTTP ground of both doors: bodies with a limit, JSON replies, and the shape of an error. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { EdgeplaneError } from "../../src/contract/errors.ts";

export type Request = {
  method: string;
  /** The path's segments after the door's prefix, decoded. */
  segments: string[];
  query: URLSearchParams;
  header: (name: string) => string | undefined;
  /** All headers, their names in lower case. */
  headers: [name: string, value: string][];
  body: Buffer;
  /** Aborts when the client goes. */
  signal: AbortSignal;
};

export type Reply = {
  status: number;
  body: unknown;
  headers?: Record<string, string>;
  /** The operation's name, for metrics. */
  operation: string;
  /** Called when the reply could not be handed over. */
  onLost?: () => void;
};

/** Reads the body. Throws `payload_too_large` as soon as it is known to be over `limitBytes`. */
export async function readBody(message: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const tooLarge = () =>
    new EdgeplaneError(
      "payload_too_large",
      `The body is larger than the ${limitBytes} bytes that the bridge takes at once.`,
    );
  if (Number(message.headers["content-length"] ?? 0) > limitBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size > limitBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

/** The body as JSON, undefined when it is empty. Throws `invalid_json`. */
export function parseJson(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw new EdgeplaneError("invalid_json", "The body is not JSON.");
  }
}

/** Splits a path and decodes its segments. Throws `invalid_request` on a broken escape. */
export function pathSegments(path: string): string[] {
  try {
    return path
      .split("/")
      .filter((part) => part !== "")
      .map(decodeURIComponent);
  } catch {
    throw new EdgeplaneError("invalid_request", "The path holds a broken %-escape.");
  }
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(text)),
    ...headers,
  });
  response.end(text);
}

/** What of an error is shown: never a 5xx for the caller's fault, never a stack. */
export function shownError(error: unknown): EdgeplaneError {
  return error instanceof EdgeplaneError
    ? error
    : new EdgeplaneError("internal", "The bridge failed on this request.", { cause: error });
}

export function errorHeaders(error: EdgeplaneError): Record<string, string> {
  const { retryAfterMs, headers } = error.options;
  return {
    ...headers,
    ...(retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterMs / 1000)) }),
  };
}
