/** How large a request's body is, and may be. */
import { EdgeplaneError } from "../contract/errors.ts";

/** Cloudflare's edge takes no larger body: https://developers.cloudflare.com/workers/platform/limits/#request-limits */
export const MAX_REQUEST_BYTES = 100_000_000;

/** The body's announced size; null for a chunked one. */
export function announcedBytes(request: Request): number | null {
  const header = request.headers.get("content-length");
  if (header === null) return request.body === null ? 0 : null;
  return /^\d{1,15}$/.test(header) ? Number(header) : null;
}

/** The body's size. Throws `length_required` when it isn't announced. */
export function requiredBytes(request: Request): number {
  const bytes = announcedBytes(request);
  if (bytes !== null) return bytes;
  throw new EdgeplaneError("length_required", "The body carries no `Content-Length`, or is compressed.");
}
