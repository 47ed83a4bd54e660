/** Secrets that must be stored to be used: AES-256-GCM under a key derived from the deployment's secret. */
import { fromBase64Url, keyFor, toBase64Url } from "./signing.ts";

const IV_BYTES = 12;

/** `plain`, sealed: base64url of the nonce and the ciphertext. */
export async function seal(secret: string, plain: string): Promise<string> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const key = await sealingKey(secret);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, new TextEncoder().encode(plain));
  return toBase64Url(new Uint8Array([...iv, ...new Uint8Array(sealed)]));
}

/** What was sealed; null when it was sealed with another secret, or is damaged. */
export async function unseal(secret: string, sealed: string): Promise<string | null> {
  const bytes = fromBase64Url(sealed);
  if (bytes === null || bytes.length <= IV_BYTES) return null;
  const key = await sealingKey(secret);
  const iv = bytes.subarray(0, IV_BYTES);
  try {
    const plain = await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, bytes.subarray(IV_BYTES));
    return new TextDecoder().decode(plain);
  } catch {
    return null;
  }
}

async function sealingKey(secret: string): Promise<CryptoKey> {
  const bytes = await crypto.subtle.sign("HMAC", await keyFor(secret, "seal"), new TextEncoder().encode("AES-256-GCM"));
  return crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
}
