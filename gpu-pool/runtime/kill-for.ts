/** Ends the process of a prediction that didn't stop when it was asked to. */
import type { Instances } from "./instances.ts";
import type { Prediction } from "./prediction.ts";

/** Grace is over. Its process goes, unless that would only harm batch mates for something nobody waits for. */
export function killFor(prediction: Prediction, instances: Instances): void {
  prediction.killAtMs = Infinity;
  const place = instances.placeOf(prediction);
  const running = place?.run.unfinished().filter(({ started }) => started) ?? [];
  const mates = running.filter((item) => item.prediction.ending === null);
  if (prediction.ending !== "timed_out" && mates.length > 0) return;
  place?.instance.process?.expectDeath();
  place?.instance.process?.kill(
    prediction.ending === "timed_out" ? "a prediction ran out of time" : "a prediction was canceled",
  );
}
