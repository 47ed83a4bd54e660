/** The `Prefer` header (RFC 7240), as far as Replicate and Cog read it: `wait`, `wait=n`, `respond-async`. */
import { EdgeplaneError } from "../../contract/errors.ts";

const MAX_WAIT_S = 60;

export type Preference = { waitMs: number; async: boolean };

/** Reads the header. `wait` alone means 60 s. Throws `invalid_request` for a `wait` that is no number from 1 to 60. */
export function parsePrefer(header: string | undefined): Preference {
  const preference: Preference = { waitMs: 0, async: false };
  for (const part of header?.split(",") ?? []) {
    const [name, value] = part.split(";")[0]?.split("=") ?? [];
    const token = name?.trim().toLowerCase();
    if (token === "respond-async") preference.async = true;
    if (token === "wait") preference.waitMs = waitMs(value?.trim().replace(/^"(.*)"$/, "$1"));
  }
  return preference.async ? { waitMs: 0, async: true } : preference;
}

function waitMs(value: string | undefined): number {
  if (value === undefined) return MAX_WAIT_S * 1000;
  const seconds = /^\d{1,3}$/.test(value) ? Number(value) : 0;
  if (seconds >= 1 && seconds <= MAX_WAIT_S) return seconds * 1000;
  throw new EdgeplaneError("invalid_request", "`Prefer: wait=n` takes whole seconds from 1 to 60.");
}
