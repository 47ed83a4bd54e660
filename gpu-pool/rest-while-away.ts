/**
 * A model that needs something of the edge, of where its files are, or of this host's disk, while that is away: no
 * fault of its own. It rests on this host: what has not begun is handed back, and it takes nothing until it is tried
 * again.
 */
import { messageOf } from "./bundles/problems.ts";
import { Postponed, REST_MS } from "./runtime/postponed.ts";
import type { Model } from "./runtime/models/model.ts";
import type { Clock } from "./scheduling/clock.ts";

/** `runner`: of the model. */
export type Resting = { runner: { pressureChanged(): void }; model: Pick<Model, "shortage">; clock: Clock };

/** What `work` answers. Throws `Postponed` where it failed as `isPassing` says: the model rests from now on. */
export async function restWhileAway<T>(
  work: Promise<T>,
  isPassing: (error: unknown) => boolean,
  resting: () => Resting,
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isPassing(error)) throw error;
    const { runner, model, clock } = resting();
    model.shortage = messageOf(error);
    runner.pressureChanged();
    clock.after(REST_MS, () => {
      model.shortage = null;
      runner.pressureChanged();
    });
    throw new Postponed(messageOf(error), { cause: error });
  }
}
