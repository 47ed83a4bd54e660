/** A part of an upload as it comes in a request. */
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import { fromBase64Url } from "../contract/signing.ts";
import { MAX_PARTS, putPart, partCount, partSize } from "../storage/uploads.ts";
import type { Part, Upload } from "../storage/upload-rows.ts";
import { toHex } from "../storage/transfer.ts";
import type { Env } from "../env.ts";
import { requiredBytes } from "./request-size.ts";

/** `sha-256=:<base64>:`, https://www.rfc-editor.org/rfc/rfc9530 */
const DIGEST = /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):/;

export const PartNumberSchema = z
  .string()
  .regex(/^[1-9]\d{0,4}$/, "must be a part's number")
  .transform(Number)
  .meta({ override: { type: "integer", minimum: 1, maximum: MAX_PARTS }, description: "The part's number, from 1." });

export const PartHeaderSchema = z.object({
  "Content-Digest": z
    .string()
    .optional()
    .meta({
      description: "The part's SHA-256 (RFC 9530); another content is refused.",
      examples: ["sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"],
    }),
});

export const PartViewSchema = z
  .object({
    part_number: z.number().int(),
    size: z.number().int().meta({ description: "Bytes." }),
    sha256: z.string().meta({ description: "SHA-256 of the part, in hex." }),
  })
  .meta({ id: "UploadPart" });

export function showPart(part: Part): z.output<typeof PartViewSchema> {
  return { part_number: part.number, size: part.sizeBytes, sha256: part.sha256 };
}

/**
 * Stores the body of `request` as part `number`. Throws `not_found` (no such part), `length_required`,
 * `invalid_request` (another size than the part has) or `checksum_mismatch`.
 */
export async function receivePart(env: Env, upload: Upload, number: number, request: Request): Promise<Part> {
  const count = partCount(upload);
  if (number < 1 || number > count) throw new EdgeplaneError("not_found", `The upload has parts 1 to ${count}.`);
  const expected = partSize(upload, number);
  const announced = requiredBytes(request);
  if (announced !== expected) {
    throw new EdgeplaneError("invalid_request", `Part ${number} has ${expected} bytes, not ${announced}.`);
  }
  const part = await putPart(env, upload, number, request.body, digestOf(request.headers.get("content-digest")));
  return part;
}

/** The SHA-256 in hex; null when there is none. */
function digestOf(header: string | null): string | null {
  if (header === null) return null;
  const base64 = DIGEST.exec(header)?.[1];
  if (base64 === undefined) {
    throw new EdgeplaneError("invalid_request", "`Content-Digest` takes `sha-256=:<base64>:`.");
  }
  const bytes = fromBase64Url(base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""));
  return bytes === null ? null : toHex(bytes.buffer);
}
