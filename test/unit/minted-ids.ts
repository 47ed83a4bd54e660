/** Ids like minted ones, which are the same again for the same seed: shards, and the order of rows, go by them. */
import { leastIdOf } from "../../src/contract/ids.ts";
import { seededRandom } from "../../src/scaling/simulation/random.ts";

const BODY_CHARS = 15;

/** `shards`: ten at most. The answer mints an id on a random one; its time is in milliseconds since the epoch. */
export function seededIds(seed: number, shards: number): (nowMs: number) => string {
  const random = seededRandom(seed);
  const digit = (below: number): number => Math.floor(random() * below);
  return (nowMs) => {
    const shard = digit(shards);
    const body = Array.from({ length: BODY_CHARS }, () => digit(10)).join("");
    return leastIdOf(`0${shard}`, nowMs) + body;
  };
}
