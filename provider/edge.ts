/** The edge as the service sees it: one call, held open until there is news. */
import * as z from "zod";
import { SyncReplySchema } from "../src/contract/provider.ts";
import type { SyncReply, SyncRequest } from "../src/contract/provider.ts";

/** The edge holds a sync for up to 25 s; what takes this much longer is lost. */
const SYNC_LIMIT_MS = 40_000;
const MAX_PROBLEM_CHARS = 300;

/** The edge refuses the service: its token is wrong, or this edge knows no providers. Trying again won't help. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}

export type Edge = { sync(request: SyncRequest, signal: AbortSignal): Promise<SyncReply> };

export function edgeAt(url: URL, token: string): Edge {
  const address = new URL("provider/v1/sync", url.href.endsWith("/") ? url : `${url.href}/`);
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  return {
    async sync(request, signal) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(SYNC_LIMIT_MS)]);
      const body = JSON.stringify(request);
      const response = await fetch(address, { method: "POST", headers, body, signal: limit });
      const text = await response.text();
      if (response.ok) return SyncReplySchema.parse(JSON.parse(text));
      const said = `the edge answered ${response.status}: ${detailOf(text)}`;
      throw [400, 401, 403, 404].includes(response.status) ? new RefusedError(said) : new Error(said);
    },
  };
}

function detailOf(text: string): string {
  try {
    return z.object({ detail: z.string() }).parse(JSON.parse(text)).detail;
  } catch {
    return text.slice(0, MAX_PROBLEM_CHARS);
  }
}
