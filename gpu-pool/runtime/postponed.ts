/** A model that can't be started for now rests so long. */
export const REST_MS = 30_000;
/** Its instances may be started a moment before that is over: who asks then finds them free. */
export const POSTPONED_MS = REST_MS - 1000;

/** A process can't be started for now, which is no fault of its model: it is tried again later. */
export class Postponed extends Error {
  override readonly name = "Postponed";
}
