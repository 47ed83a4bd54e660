/** The HTTP ground of both doors: bodies with a limit, JSON replies, and the shape of an error. */
import { isUtf8 } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import { codingOf, notDecodable } from "../../src/contract/content-codings.ts";
import { EdgeplaneError } from "../../src/contract/errors.ts";
import { pathSegments } from "../../src/contract/kafka-names.ts";
import type { DialectRequest } from "../../src/contract/kafka-requests.ts";

const EMPTY = Buffer.alloc(0);
const decoders = { gzip: createGunzip, deflate: createInflate, br: createBrotliDecompress } as const;

/** A request as the doors see it. */
export type Request = DialectRequest & {
  /** Empty until it was read. */
  readonly body: Buffer;
  /** Aborts when the client goes. */
  readonly signal: AbortSignal;
};

/** What only some calls need of a request is made when they ask for it: this is the hot path. */
export class IncomingRequest implements Request {
  readonly method: string;
  readonly path: string;
  body: Buffer = EMPTY;
  readonly #message: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #search: string;
  #segments: string[] | null = null;
  #query: URLSearchParams | null = null;
  #signal: AbortSignal | null = null;

  constructor(message: IncomingMessage, response: ServerResponse) {
    this.#message = message;
    this.#response = response;
    this.method = message.method ?? "GET";
    const target = message.url ?? "/";
    const at = target.indexOf("?");
    this.path = at === -1 ? target : target.slice(0, at);
    this.#search = at === -1 ? "" : target.slice(at + 1);
  }

  get segments(): string[] {
    this.#segments ??= pathSegments(this.path).slice(1);
    return this.#segments;
  }

  get query(): URLSearchParams {
    this.#query ??= new URLSearchParams(this.#search);
    return this.#query;
  }

  get headers(): [name: string, value: string][] {
    return Object.keys(this.#message.headers).map((name) => [name, this.header(name) ?? ""]);
  }

  header(name: string): string | undefined {
    const value = this.#message.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  json(): unknown {
    return parseJson(this.body);
  }

  text(): string {
    return this.body.toString("utf8");
  }

  get signal(): AbortSignal {
    if (this.#signal !== null) return this.#signal;
    const aborter = new AbortController();
    if (this.#response.destroyed) aborter.abort();
    else this.#response.once("close", () => aborter.abort());
    this.#signal = aborter.signal;
    return this.#signal;
  }
}

export type Reply = {
  status: number;
  body: unknown;
  headers?: Record<string, string>;
  /** The operation's name, for metrics. */
  operation: string;
  /** Called when the reply could not be handed over. */
  onLost?: () => void;
};

/**
 * Reads the body, decoded. Throws `payload_too_large` as soon as it is known to be over `limitBytes`, which counts what
 * it decodes to and what came; `unsupported_encoding`; or `invalid_request` for what can't be decoded.
 */
export function readBody(message: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const coding = codingOf(message.headers["content-encoding"]);
  const decoder = coding === null ? null : decoders[coding]();
  const source = decoder ?? message;
  return new Promise((resolve, reject) => {
    const stop = (error: Error) => {
      message.removeAllListeners("data").unpipe().pause();
      source.removeAllListeners("data").pause();
      decoder?.destroy();
      reject(error);
    };
    const refuse = () => {
      const text = `The body is larger than the ${limitBytes} bytes that the bridge takes at once.`;
      stop(new EdgeplaneError("payload_too_large", text));
    };
    if (Number(message.headers["content-length"] ?? 0) > limitBytes) {
      refuse();
      return;
    }
    const chunks: Buffer[] = [];
    let size = 0;
    // Events, and not an async iterator: that costs a request 40 µs.
    source.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > limitBytes) refuse();
    });
    source.once("end", () => resolve(chunks.length === 1 ? (chunks[0] ?? EMPTY) : Buffer.concat(chunks)));
    message.once("error", reject);
    if (coding === null || decoder === null) return;
    let codedBytes = 0;
    message.on("data", (chunk: Buffer) => {
      codedBytes += chunk.length;
      if (codedBytes > limitBytes) refuse();
    });
    decoder.on("error", (cause) => stop(notDecodable(coding, cause)));
    message.pipe(decoder);
  });
}

/**
 * The body as JSON by `parse`, undefined when it is empty. Throws `invalid_json`: bytes that are no UTF-8 would be
 * stored as other ones.
 */
export function parseJson(body: Buffer, parse: (text: string) => unknown = JSON.parse): unknown {
  if (body.length === 0) return undefined;
  if (!isUtf8(body))
    throw new EdgeplaneError("invalid_json", "The body is not JSON: it holds bytes that are not UTF-8.");
  try {
    return parse(body.toString("utf8"));
  } catch {
    throw new EdgeplaneError("invalid_json", "The body is not JSON.");
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
  const { retryAfterS } = error;
  return { ...error.options.headers, ...(retryAfterS === null ? {} : { "retry-after": String(retryAfterS) }) };
}
