/** The scaler of tests that have it live on beside something that is away, or hangs. */
import { runInDurableObject } from "cloudflare:test";
import type { Scaler } from "../../src/scaling/object/scaler.ts";
import { testEnv } from "./edge-harness.ts";

/** Another life of the scaler, with these bindings in place of its own; the one before goes on with the next call. */
export async function inAnotherLife(changes: object, run: (scaler: Scaler) => Promise<void>): Promise<void> {
  await runInDurableObject(testEnv.SCALER.getByName("scaler"), async (instance, state) => {
    await run(new (instance.constructor as typeof Scaler)(state, { ...testEnv, ...changes }));
  });
  await runInDurableObject(testEnv.SCALER.getByName("scaler"), (_, state) => state.abort("a restart")).catch(() => {});
}
