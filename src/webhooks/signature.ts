/**
 * Signatures of Standard Webhooks: `v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body`, one per valid secret.
 */
const PREFIX = "whsec_";
const SECRET_BYTES = 32;

/** A new secret: `whsec_` and the base64 of 32 random bytes (the specification asks for 24 to 64). */
export function newWebhookSecret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return PREFIX + toBase64(bytes);
}

/**
 * The headers of one try. `timestampS` is in seconds since the epoch, the time of this try; `secrets` may be several
 * while one replaces another, and each gives a signature.
 */
export async function signedHeaders(
  webhookId: string,
  timestampS: number,
  body: string,
  secrets: readonly string[],
): Promise<Record<string, string>> {
  const content = new TextEncoder().encode(`${webhookId}.${timestampS}.${body}`);
  const signatures = await Promise.all(secrets.map(async (secret) => sign(secret, content)));
  return {
    "webhook-id": webhookId,
    "webhook-timestamp": String(timestampS),
    "webhook-signature": signatures.join(" "),
  };
}

async function sign(secret: string, content: BufferSource): Promise<string> {
  const bare = secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret;
  const bytes = Uint8Array.from(atob(bare), (character) => character.charCodeAt(0));
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = await crypto.subtle.sign("HMAC", key, content);
  return `v1,${toBase64(new Uint8Array(mac))}`;
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
