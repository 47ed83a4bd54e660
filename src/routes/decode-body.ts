/**
 * Request bodies that come compressed. They are decoded as they are read, so that every limit counts what they decode
 * to, and a small body that decodes to a huge one is refused after as much of it as the limit allows.
 * https://www.rfc-editor.org/rfc/rfc9110#section-8.4
 */
import type { MiddlewareHandler } from "hono";
import { codingOf, notDecodable } from "../contract/content-codings.ts";
import type { Coding } from "../contract/content-codings.ts";
import { skipBody } from "./body.ts";
import { inflate } from "./inflate.ts";

type Decoder = { fetch(request: Request): Promise<Response> };

const PIECE_BYTES = 64 * 1024;
/**
 * How much more may come than it decodes to. No encoder makes more; without a limit, a body without end could decode to
 * nothing.
 */
const MAX_SURPLUS_BYTES = 1024 * 1024;

/** The routes behind it read the decoded body, whose size nobody knows. Throws `unsupported_encoding`. */
export function decodeBody(): MiddlewareHandler {
  return async function decodeBodyMiddleware(c, next) {
    const { raw } = c.req;
    const codings = raw.headers.get("content-encoding");
    // To ask for the body makes a stream of it, which most requests need not.
    const body: ReadableStream<Uint8Array> | null = codings === null ? null : raw.body;
    const coding = body === null ? null : codingOf(codings);
    if (body === null || coding === null) return next();
    const headers = new Headers(raw.headers);
    for (const described of ["content-encoding", "content-length"]) headers.delete(described);
    const { StreamDecoder } = (c.executionCtx as unknown as { exports: { StreamDecoder: Decoder } }).exports;
    const { method } = raw;
    c.req.raw = new Request(raw, { method, headers, body: decoded(raw.headers, body, coding, StreamDecoder) });
    return next();
  };
}

/**
 * The content of `body`, from where it is first read. A reader that stops early has the rest of the body read unseen,
 * as `skipBody` does.
 */
function decoded(headers: Headers, body: ReadableStream<Uint8Array>, coding: Coding, decoder: Decoder): ReadableStream {
  let fed: Promise<unknown> = Promise.resolve();
  let surplusBytes = 0;
  let isPadded = false;
  const open = async (): Promise<ReadableStream<Uint8Array>> => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        isPadded = surplusBytes > MAX_SURPLUS_BYTES;
        if (isPadded) return controller.terminate();
        surplusBytes += piece.byteLength;
        controller.enqueue(piece);
      },
    });
    fed = body.pipeTo(writable, { preventCancel: true }).catch(() => {});
    if (coding === "deflate") return inflate(readable);
    const coded = { method: "POST", headers: { "content-encoding": coding }, body: readable };
    const answer = await decoder.fetch(new Request("https://decoder/", coded));
    return answer.body ?? new Blob([]).stream();
  };
  let reader: Promise<ReadableStreamBYOBReader> | null = null;
  return new ReadableStream({
    type: "bytes",
    async pull(controller) {
      reader ??= open().then((stream) => stream.getReader({ mode: "byob" }));
      const source = await reader;
      try {
        const { done, value } = await source.read(new Uint8Array(PIECE_BYTES));
        if (isPadded) throw new Error("it decodes to less than it is");
        if (!done) {
          surplusBytes -= value.byteLength;
          return controller.enqueue(value);
        }
        controller.close();
        controller.byobRequest?.respond(0);
      } catch (cause) {
        controller.error(notDecodable(coding, cause));
      }
    },
    async cancel(reason) {
      await (await reader)?.cancel(reason);
      await fed;
      await skipBody(headers, body);
    },
  });
}
