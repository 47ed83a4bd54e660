/** Reading bodies, within limits and with errors that say what is wrong. */
import type * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import type { ErrorCode, InvalidField } from "../contract/errors.ts";
import { MAX_NESTING, nestsWithin } from "../contract/nesting.ts";
import type { Json } from "../contract/prediction.ts";
import { safeParse } from "../contract/safe-parse.ts";
import { loneSurrogateIn, mayHoldLoneSurrogate, wellFormed } from "../contract/well-formed.ts";
import type { BodyHold } from "./body-budget.ts";
import { parsedBytes } from "./json-weight.ts";

/** The largest JSON body of the client API; files go up as files. */
export const MAX_JSON_BYTES = 16 * 1024 * 1024;
/** A refused body up to this is read to its end, unseen. */
const MAX_SKIPPED_BYTES = 4 * MAX_JSON_BYTES;

const FILES_HINT =
  "Upload what is large with `POST /v1/files` (above 100 MB in parts: `POST /v1/uploads`), and put the file's `urls.get` in its place in `input`.";

/** Made once: making one costs more than decoding a usual body. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

const MAX_ISSUES = 20;
/** What zod says of a field that isn't there. */
const MISSING = /^Invalid input: expected .+, received undefined$/;
/** What a body may take parsed, as a multiple of what it may have as text. */
const PARSED_RATIO = 4;
/** Up to this a body of a known length is read at once; above it piece by piece, which shows that it goes on. */
const MAX_READ_AT_ONCE_BYTES = 64 * 1024;
const NO_TEXT =
  "holds half a surrogate pair (`\\ud800` to `\\udfff`), such as an emoji that was cut leaves: send whole characters";

/**
 * Found in the text of every number beyond 1.8e308, and in some others. The look behind keeps the search linear: it
 * begins once for each run of digits, and not at each digit.
 */
const MAY_OVERFLOW = /(?<!\d)\d{300}|[eE]\+?\d{2}/;

/** What becomes of lone surrogates: a client's are refused, of what a model made each is replaced by U+FFFD. */
export type LoneSurrogates = "refused" | "replaced";

/**
 * Reads and parses a JSON body. Throws `payload_too_large` (before reading, when the length is announced),
 * `invalid_json`, `invalid_request` for a value that is nested deeper than 128 levels, `invalid_input` for a text that
 * is none and a number beyond all numbers, both of a client, or what `hold` refuses with, which counts what the text
 * and then the value take.
 */
export async function readJson(
  request: Request,
  maxBytes = MAX_JSON_BYTES,
  loneSurrogates: LoneSurrogates = "refused",
  hold: BodyHold | null = null,
): Promise<unknown> {
  const text = await readText(request, maxBytes, hold);
  const weight = weightOf(text, PARSED_RATIO * maxBytes);
  hold?.resize(weight);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const detail = text.trim() === "" ? "The body is empty." : `The body can't be parsed as JSON (${String(cause)}).`;
    throw new EdgeplaneError("invalid_json", cut(detail) + otherTypeOf(request), { cause });
  }
  if (!nestsWithin(value, MAX_NESTING)) {
    throw new EdgeplaneError("invalid_request", `The body is nested deeper than ${MAX_NESTING} levels.`);
  }
  if (loneSurrogates === "refused" && MAY_OVERFLOW.test(text)) refuseInfinite(value as Json);
  if (!mayHoldLoneSurrogate(text)) return value;
  if (loneSurrogates === "replaced") return wellFormed(value as Json);
  refuseLoneSurrogates(value as Json);
  return value;
}

/** What a body says that it is, where that is no JSON: a form, as a rule. */
function otherTypeOf({ headers }: Request): string {
  const [type = ""] = (headers.get("content-type") ?? "").split(";");
  return type === "" || /json/i.test(type) ? "" : ` It came as \`${cut(type.trim())}\`; this address takes JSON.`;
}

/** What it takes parsed, in bytes. Throws `payload_too_large` above `maxBytes`. */
function weightOf(text: string, maxBytes: number): number {
  const bytes = parsedBytes(text, maxBytes);
  if (bytes <= maxBytes) return Math.max(bytes, text.length);
  const mib = Math.floor(maxBytes / (1024 * 1024));
  throw new EdgeplaneError(
    "payload_too_large",
    `The body has too many values: parsed, it would take more than ${mib} MiB of memory. ${FILES_HINT}`,
  );
}

/**
 * Throws `invalid_input` where a text of `value`, which came out of `JSON.parse`, holds half a surrogate pair. `where`:
 * what the value is.
 */
export function refuseLoneSurrogates(value: Json, where = ""): void {
  const path = loneSurrogateIn(value);
  if (path === null) return;
  const invalid = toField({ path, message: NO_TEXT }, where);
  throw new EdgeplaneError("invalid_input", `- ${invalid.field}: ${invalid.description}\n`, {
    invalidFields: [invalid],
  });
}

/** JSON has no infinity: it would go on as null, which nobody sent. */
function refuseInfinite(value: Json): void {
  const path = infiniteIn(value);
  if (path === null) return;
  const invalid = toField({ path, message: "is larger than a number can be" }, "");
  throw new EdgeplaneError("invalid_input", `- ${invalid.field}: ${invalid.description}\n`, {
    invalidFields: [invalid],
  });
}

function infiniteIn(value: Json): string[] | null {
  if (typeof value === "number") return Number.isFinite(value) ? null : [];
  if (value === null || typeof value !== "object") return null;
  for (const [key, inner] of Object.entries(value)) {
    const path = infiniteIn(inner);
    if (path !== null) return [key, ...path];
  }
  return null;
}

/**
 * Reads a body as text of at most `maxBytes`. Throws `payload_too_large`, `invalid_json` (not UTF-8), or what `hold`
 * refuses with; null: so short a body is not counted.
 */
export async function readText(request: Request, maxBytes: number, hold: BodyHold | null = null): Promise<string> {
  const header = request.headers.get("content-length");
  const announced = header === null ? null : Number(header);
  try {
    if (announced !== null && announced > maxBytes) throw tooLarge(maxBytes);
    if (announced !== null) hold?.resize(announced);
  } catch (thrown) {
    await skipBody(request.headers, request.body);
    throw thrown;
  }
  // To ask for the body makes a stream of it: one that is read at once needs none.
  const isShort = announced !== null && announced <= MAX_READ_AT_ONCE_BYTES;
  const body = isShort ? null : request.body;
  if (body === null && !isShort) return "";
  const bytes = body === null ? await request.arrayBuffer() : await readCounted(body, announced, maxBytes, hold);
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new EdgeplaneError("invalid_json", "The body is not UTF-8.", { cause });
  }
}

/**
 * Parses `value` with `schema`. Throws `invalid_input`, or `code`, with a field for each problem; `where` is put in
 * front of the field names.
 */
export function parseWith<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  where = "",
  code: ErrorCode = "invalid_input",
): z.output<Schema> {
  const parsed = safeParse(schema, value);
  if (parsed.success) return parsed.data;
  const invalidFields = parsed.error.issues.slice(0, MAX_ISSUES).map((issue) => toField(issue, where));
  const detail = invalidFields.map(({ field, description }) => `- ${field}: ${description}\n`).join("");
  throw new EdgeplaneError(code, detail, { invalidFields });
}

function toField(issue: Pick<z.core.$ZodIssue, "path" | "message">, where: string): InvalidField {
  const path = [where, ...issue.path.map(String)].filter((part) => part !== "").join(".");
  return { field: path === "" ? "body" : path, description: issue.message.replace(MISSING, "is required") };
}

/** `announced`: its size, which `hold` counts already; null: it is counted as it arrives. */
async function readCounted(
  body: ReadableStream,
  announced: number | null,
  maxBytes: number,
  hold: BodyHold | null,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body as ReadableStream<Uint8Array>) {
    size += chunk.byteLength;
    if (size > maxBytes) throw tooLarge(maxBytes);
    if (announced === null) hold?.resize(size);
    hold?.touch();
    chunks.push(chunk);
  }
  const all = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return all;
}

/**
 * Reads a refused body to its end, unless that is far: a client that still sends when its connection closes would never
 * see the answer. `headers`: those that it came with.
 */
export async function skipBody(headers: Headers, body: ReadableStream | null): Promise<void> {
  const announced = Number(headers.get("content-length") ?? Infinity);
  if (announced <= MAX_SKIPPED_BYTES) await body?.pipeTo(new WritableStream()).catch(() => {});
}

function tooLarge(maxBytes: number): EdgeplaneError {
  const hint = maxBytes === MAX_JSON_BYTES ? ` ${FILES_HINT}` : "";
  return new EdgeplaneError("payload_too_large", `The body may have at most ${maxBytes} bytes.${hint}`);
}

function cut(text: string): string {
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
