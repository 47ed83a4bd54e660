/** What a caller may do with topics, asked before a call is made. */
import { EdgeplaneError } from "../../contract/errors.ts";
import type { Principal } from "./auth.ts";

const verbs = { produce: "produce to", consume: "consume from", offsets: "read the offsets of" } as const;

/**
 * Throws `topic_forbidden` for the first topic that the caller has no right to. Offsets are for those who produce, too:
 * they are told them.
 */
export function checkRights(principal: Principal, right: keyof typeof verbs, topics: Iterable<string>): void {
  for (const topic of topics) {
    const allowed =
      (right !== "consume" && principal.mayProduce(topic)) || (right !== "produce" && principal.mayConsume(topic));
    if (allowed) continue;
    throw new EdgeplaneError(
      "topic_forbidden",
      `These credentials may not ${verbs[right]} \`${topic}\`; use others, or have its prefix added to their rights.`,
    );
  }
}

/** A pool may consume the job topics of its lanes; the rest is for users. */
export function refusePools(principal: Principal): void {
  if (principal.lanes === null) return;
  throw new EdgeplaneError(
    "forbidden",
    "A pool's token may consume the job topics of its lanes, and nothing else; use a user of KAFKA_USERS for this call.",
  );
}

/** The topics of places, each once. */
export function topicsOf(places: readonly { topic: string }[]): Set<string> {
  return new Set(places.map(({ topic }) => topic));
}
