/**
 * Keys derived from the deployment's secret, and signatures made with them. Each purpose has a key of its own, so that
 * what was signed for one can't be used for another.
 */
const MIN_SECRET_LENGTH = 32;

export type Purpose = "ids" | "stream" | "blob" | "file" | "seal" | "credential" | "machine";

const imported = new Map<string, CryptoKey>();

/**
 * The HMAC-SHA-256 key of `purpose`; imported once per isolate. Throws when the deployment's secret is missing or too
 * short.
 */
export async function keyFor(secret: string | undefined, purpose: Purpose): Promise<CryptoKey> {
  const name = `${purpose}\n${secret}`;
  const known = imported.get(name);
  if (known !== undefined) return known;
  if (secret === undefined || secret.length < MIN_SECRET_LENGTH) {
    throw new Error(`EDGEPLANE_SECRET must be set to at least ${MIN_SECRET_LENGTH} characters`);
  }
  const encoder = new TextEncoder();
  const root = await importHmac(encoder.encode(secret));
  const derived = await crypto.subtle.sign("HMAC", root, encoder.encode(`edgeplane ${purpose}`));
  const key = await importHmac(derived);
  imported.set(name, key);
  return key;
}

/** HMAC of `message` in base64url. */
export async function sign(key: CryptoKey, message: string): Promise<string> {
  return toBase64Url(new Uint8Array(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(message))));
}

/** Whether `signature` is `message`'s, in constant time; a malformed one isn't. */
export async function verify(key: CryptoKey, message: string, signature: string): Promise<boolean> {
  const bytes = fromBase64Url(signature);
  if (bytes === null) return false;
  return crypto.subtle.verify("HMAC", key, bytes, new TextEncoder().encode(message));
}

export function toBase64Url(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The bytes of a base64url text, or null when it is none. */
export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return null;
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

async function importHmac(bytes: BufferSource): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}
