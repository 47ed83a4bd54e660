/**
 * Files that are served as they are: a deployment's assets come before the Worker; the local stack's come through it.
 */
import { EdgeplaneError } from "../contract/errors.ts";
import type { AppContext } from "./app.ts";

/** Answers the file at `path`. Throws `not_found` where the gateway runs without its files. */
export async function serveAsset(c: AppContext, path: string, type: string, cache: string): Promise<Response> {
  const answer = await c.env.DOCS_ASSETS?.fetch(`https://assets${path}`);
  if (answer?.ok !== true) {
    throw new EdgeplaneError(
      "not_found",
      "The gateway was deployed without its files; `npm run deploy` brings them (docs/deploy.md).",
    );
  }
  return new Response(answer.body, {
    headers: { "content-type": type, "cache-control": cache, "x-content-type-options": "nosniff" },
  });
}
