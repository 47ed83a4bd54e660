/** Finds the record that a log refuses for good. */
import { EdgeplaneError } from "../contract/errors.ts";

/**
 * Produces `batch` with `produce`; one that the log refuses is halved until the refused one is alone, which goes to
 * `refused`. What else goes wrong is thrown: trying again may help then.
 */
export async function produceHalving<T>(
  batch: readonly T[],
  produce: (part: readonly T[]) => Promise<void>,
  refused: (item: T, reason: string) => Promise<void>,
): Promise<void> {
  try {
    await produce(batch);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const [only] = batch;
    if (batch.length === 1 && only !== undefined) return refused(only, error.message);
    const half = Math.ceil(batch.length / 2);
    await produceHalving(batch.slice(0, half), produce, refused);
    await produceHalving(batch.slice(half), produce, refused);
  }
}

/** Whether the log says that it will never take the record. */
function isRefusal(error: unknown): error is Error {
  const code = error instanceof EdgeplaneError ? error.code : null;
  return code === "invalid_request" || code === "payload_too_large";
}
