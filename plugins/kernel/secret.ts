/** Keys and tokens: how they are made, recognised and kept. Only the hash is ever stored. */

const SECRET_BYTES = 32;

/** `ep_`, 256 bits in base64url, and a MAC of 128 bits; keys from before there were MACs have none. */
export const API_KEY_PATTERN = /^ep_[A-Za-z0-9_-]{43}(?:[A-Za-z0-9_-]{22})?$/;

/** Makes a secret of 256 random bits behind `prefix`. */
export function newSecret(prefix: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return (
    prefix +
    btoa(String.fromCharCode(...bytes))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "")
  );
}

/**
 * SHA-256 of `text` in hexadecimal. For secrets of 256 random bits that is enough: no salt, as there is nothing to
 * guess.
 */
export async function sha256Hex(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
