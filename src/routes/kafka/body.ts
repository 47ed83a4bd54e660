/** Reads bodies. `curl -d` calls JSON a form, and the dialect's GET calls may carry a body: the content type says nothing. */
import type { Context } from "hono";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { LogClient, LogEnv } from "../../log/client.ts";
import type { Principal } from "./auth.ts";

export type CreateClient = (env: LogEnv) => LogClient;

/** The body as JSON; undefined when it is empty. */
export async function jsonBody(context: Context): Promise<unknown> {
  const text = await context.req.text();
  if (text.trim() === "") return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch (error) {
    const reason = error instanceof Error ? error.message : "";
    throw new EdgeplaneError("invalid_json", `The body is not JSON (${reason.slice(0, 120)}); send JSON in UTF-8.`);
  }
}

/** The body, which must not be empty. */
export async function requiredBody(context: Context, example: string): Promise<unknown> {
  const value = await jsonBody(context);
  if (value !== undefined) return value;
  throw new EdgeplaneError("invalid_request", `The body is empty; send JSON like \`${example}\`.`);
}

type Right = "produce" | "consume";

/** Throws `topic_forbidden` for the first topic that the caller has no right to. */
export function checkRights(principal: Principal, right: Right, topics: Iterable<string>): void {
  for (const topic of topics) {
    const allowed = right === "produce" ? principal.mayProduce(topic) : principal.mayConsume(topic);
    if (allowed) continue;
    throw new EdgeplaneError(
      "topic_forbidden",
      `These credentials may not ${right === "produce" ? "produce to" : "consume from"} \`${topic.slice(0, 249)}\`; use others, or have its prefix added to their rights.`,
    );
  }
}

/** A pool may consume, commit and leave its group; the rest is for users. */
export function refusePools(principal: Principal): void {
  if (principal.lanes === null) return;
  throw new EdgeplaneError(
    "forbidden",
    "A pool's token may consume, commit and delete its own instances; use a user of KAFKA_USERS for this call.",
  );
}
