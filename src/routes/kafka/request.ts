/**
 * A request of `/kafka` as the dialect's readers take it. `curl -d` calls JSON a form, and GET calls may carry a body:
 * the content type says nothing.
 */
import type { Context } from "hono";
import { EdgeplaneError } from "../../contract/errors.ts";
import { pathSegments } from "../../contract/kafka-names.ts";
import type { DialectRequest } from "../../contract/kafka-requests.ts";
import { parseWellFormed } from "../../contract/well-formed.ts";
import { skipBody } from "../body.ts";
import type { BodyHold } from "../body-budget.ts";
import { announcedBytes } from "../request-size.ts";

/** Where the request is for, without its body. */
export function addressOf(context: Context): Pick<DialectRequest, "method" | "segments" | "query"> {
  const { pathname, searchParams } = new URL(context.req.url);
  return { method: context.req.method, segments: pathSegments(pathname).slice(1), query: searchParams };
}

/** The request with its body, which is read whole. Throws what `hold`, which counts it, refuses with. */
export async function dialectRequest(context: Context, hold: BodyHold): Promise<DialectRequest> {
  const { raw } = context.req;
  try {
    hold.resize(announcedBytes(raw) ?? 0);
  } catch (thrown) {
    await skipBody(raw.headers, raw.body);
    throw thrown;
  }
  const bytes = await context.req.arrayBuffer();
  hold.resize(bytes.byteLength);
  return {
    ...addressOf(context),
    header: (name) => context.req.header(name),
    headers: Object.entries(context.req.header()).map(([name, value]) => [name.toLowerCase(), value ?? ""]),
    json: () => parseJson(bytes),
    text: () => new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(bytes),
  };
}

/** Undefined when there is no body. Bytes that are no UTF-8 would be stored as other ones, and are refused. */
function parseJson(bytes: ArrayBuffer): unknown {
  if (bytes.byteLength === 0) return undefined;
  try {
    const value = parseWellFormed(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    return value;
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message.slice(0, 120) : "it holds bytes that are not UTF-8";
    throw new EdgeplaneError("invalid_json", `The body is not JSON (${reason}); send JSON in UTF-8.`);
  }
}
