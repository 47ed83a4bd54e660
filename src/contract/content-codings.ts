/** In which codings request bodies are taken, at every door. https://www.rfc-editor.org/rfc/rfc9110#section-8.4 */
import { EdgeplaneError } from "./errors.ts";

export type Coding = "gzip" | "deflate" | "br";

const codings: ReadonlyMap<string, Coding> = new Map([
  ["gzip", "gzip"],
  ["x-gzip", "gzip"],
  ["deflate", "deflate"],
  ["br", "br"],
]);
const TAKEN = "gzip, deflate, br";

/** The coding that `Content-Encoding` names; null: the body comes as it is. Throws `unsupported_encoding`. */
export function codingOf(header: string | null | undefined): Coding | null {
  const name = (header ?? "").trim().toLowerCase();
  if (name === "" || name === "identity") return null;
  const coding = codings.get(name);
  if (coding !== undefined) return coding;
  const detail = `\`Content-Encoding: ${name.slice(0, 100)}\` is not decoded here; one of ${TAKEN} is.`;
  throw new EdgeplaneError("unsupported_encoding", detail, { headers: { "accept-encoding": TAKEN } });
}

export function notDecodable(coding: Coding, cause?: unknown): EdgeplaneError {
  return new EdgeplaneError("invalid_request", `The body can't be decoded as ${coding}.`, { cause });
}
