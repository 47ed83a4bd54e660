/**
 * The address that clients know the gateway by, where something in front of it (a proxy that ends TLS) makes that
 * another than requests carry.
 */
import type { Env } from "../env.ts";
import { log } from "../telemetry/log.ts";

const ORIGIN = /^https?:\/\/[^/?#@\s]+$/;

let warned = false;

/**
 * The request as its client sent it, so that every link in answers, webhooks and outputs begins with `PUBLIC_ORIGIN`.
 * Without the variable, or with one that is no origin (which is logged), the request as it came.
 */
export function publicRequest(request: Request, { PUBLIC_ORIGIN }: Pick<Env, "PUBLIC_ORIGIN">): Request {
  if (PUBLIC_ORIGIN === undefined || PUBLIC_ORIGIN === "") return request;
  if (!ORIGIN.test(PUBLIC_ORIGIN) || !URL.canParse(PUBLIC_ORIGIN)) {
    if (!warned)
      log.error("setting_refused", { setting: "PUBLIC_ORIGIN", reason: "must be like https://edge.example.com" });
    warned = true;
    return request;
  }
  const { pathname, search } = new URL(request.url);
  return new Request(`${PUBLIC_ORIGIN}${pathname}${search}`, request);
}
