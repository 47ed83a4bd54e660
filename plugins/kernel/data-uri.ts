/** Text that a data URI carries: it is screened as what it says, and other media are left alone. */

export type DataUri = { text: string; write(text: string): string };

/** Longer headings are none. */
const MAX_HEADING = 200;
const TEXT_TYPES = /^(?:text\/|application\/(?:json|xml|yaml|javascript|x-ndjson)|$)/i;

/** What `value` carries: `media` for bytes that are no text; null when it is no data URI. */
export function readDataUri(value: string): DataUri | "media" | null {
  if (!/^data:/i.test(value)) return null;
  const comma = value.slice(0, MAX_HEADING).indexOf(",");
  if (comma < 0) return null;
  const heading = value.slice(0, comma + 1);
  const type = heading.slice(5, -1);
  const body = value.slice(comma + 1);
  const isBase64 = /;\s*base64\s*$/i.test(type);
  if (!TEXT_TYPES.test(type.split(";")[0]?.trim() ?? "")) return "media";
  try {
    if (!isBase64) return { text: decodeURIComponent(body), write: (text) => heading + encodeURIComponent(text) };
    const bytes = Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
    return { text: new TextDecoder().decode(bytes), write: (text) => heading + toBase64(text) };
  } catch {
    // No valid encoding: it is looked at as it stands.
    return null;
  }
}

function toBase64(text: string): string {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}
