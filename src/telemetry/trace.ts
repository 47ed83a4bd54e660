/** W3C Trace Context, level 1: https://www.w3.org/TR/trace-context/ */

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const NO_TRACE = "0".repeat(32);
const NO_SPAN = "0".repeat(16);
const REQUEST_ID = /^[A-Za-z0-9._-]{8,128}$/;

/**
 * The `traceparent` of this request's own span: within the caller's trace when `incoming` is well-formed, in a trace of
 * its own otherwise. Unknown future versions are read as far as version 00 goes, as the specification asks.
 */
export function childTraceparent(incoming: string | undefined): string {
  const version00 = incoming?.replace(/^(?!ff)[0-9a-f]{2}-([0-9a-f-]{52}).*$/, "00-$1");
  const parent = version00 === undefined ? null : TRACEPARENT.exec(version00);
  const usable = parent !== null && parent[1] !== NO_TRACE && parent[2] !== NO_SPAN;
  const trace = usable ? parent[1] : randomHex(16);
  return `00-${trace}-${randomHex(8)}-${usable ? parent[3] : "01"}`;
}

/** The caller's request id when it has a harmless form, else a fresh one. */
export function requestIdOf(incoming: string | undefined): string {
  return incoming !== undefined && REQUEST_ID.test(incoming) ? incoming : crypto.randomUUID();
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function randomHex(bytes: number): string {
  let text = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(bytes))) text += HEX[byte];
  return text;
}
