/** The edge as the service sees it: one call, held open until there is news. */
import * as z from "zod";
import { listen } from "./listener.ts";
import type { Listener, ListenerOptions } from "./listener.ts";
import { SyncReplySchema } from "../src/contract/provider.ts";
import type { SyncReply, SyncRequest } from "../src/contract/provider.ts";

/** The edge holds a sync for up to 25 s; what takes this much longer is lost. */
const SYNC_LIMIT_MS = 40_000;
const MAX_PROBLEM_CHARS = 300;

/** The edge refuses the service: its token is wrong, or this edge knows no providers. Trying again won't help. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}

/** Another service speaks for the entry. */
export class SupersededError extends Error {
  override readonly name = "SupersededError";
}

export type Edge = {
  sync(request: SyncRequest, signal: AbortSignal): Promise<SyncReply>;
  /** Has the edge say when there is something new. */
  listen?(options: Pick<ListenerOptions, "provider" | "log" | "onNews">): Listener;
};

export function edgeAt(url: URL, token: string): Edge {
  const address = new URL("provider/v1/sync", url.href.endsWith("/") ? url : `${url.href}/`);
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  return {
    listen: (options) => listen({ ...options, url, token }),
    async sync(request, signal) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(SYNC_LIMIT_MS)]);
      const body = JSON.stringify(request);
      const response = await fetch(address, { method: "POST", headers, body, signal: limit });
      const text = await response.text();
      if (response.ok) return SyncReplySchema.parse(JSON.parse(text));
      const said = `the edge answered ${response.status}: ${detailOf(text)}`;
      if (response.status === 409) throw new SupersededError(said);
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
