/** How what all users of the bridge have in common is shared: each leaves room for others. */
import type { KafkaSettings } from "./settings.ts";

/**
 * Whether one who has `own` of the `all` that are taken may have one more, where `most` may be taken. One of several
 * has no more than what is left for the others, and so half of all at most.
 */
export function mayHaveMore(own: number, all: number, most: number, isAlone: boolean): boolean {
  const left = most - all;
  return left > 0 && (isAlone || own === 0 || own < left);
}

/** Whether no two users may read. */
export function isAlone({ users }: Pick<KafkaSettings, "users">): boolean {
  return users.filter(({ consume }) => consume.length > 0).length < 2;
}
