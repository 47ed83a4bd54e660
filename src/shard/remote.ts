/** A shard as its callers see it: every method answers with a promise. */
import type { Env } from "../env.ts";
import { objectNamed } from "../object-calls.ts";
import type { PredictionShard } from "./shard.ts";

type Remote<T> = {
  [Name in keyof T]: T[Name] extends (...args: infer Args) => infer Answer
    ? (...args: Args) => Promise<Awaited<Answer>>
    : never;
};
export type RemoteShard = Remote<
  Pick<
    PredictionShard,
    | "submit"
    | "get"
    | "has"
    | "isAccepted"
    | "wait"
    | "many"
    | "known"
    | "cancel"
    | "claim"
    | "deliver"
    | "screened"
    | "stream"
    | "claimKeptUntil"
    | "undeliverable"
    | "push"
    | "failWaiting"
    | "handOnAgain"
    | "replayable"
    | "removeData"
  >
>;

/**
 * The shard of that name. The platform's own stub type walks through every type of the signatures, and the type of any
 * JSON value is without end to it: the methods are restated here instead.
 */
export function remoteShard(env: Env, name: string): RemoteShard {
  const stub: unknown = objectNamed(env.SHARD, name);
  return stub as RemoteShard;
}
