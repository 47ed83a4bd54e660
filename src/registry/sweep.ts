/** Deletes what has expired: files, and uploads that were abandoned; and what others sweep. Called by the Worker's schedule, every ten minutes. */
import type { Env } from "../env.ts";
import { sweepUploads } from "../storage/uploads.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { sweepFiles } from "./files.ts";

type Sweep = (env: Env) => Promise<void>;

/** One sweep, with `others` behind it; what is left over, or fails, waits for the next. */
export async function sweepExpired(env: Env, others: readonly Sweep[] = []): Promise<void> {
  for (const sweep of [sweepFiles, sweepUploads, ...others]) {
    try {
      await sweep(env);
    } catch (thrown) {
      log.warn("sweep_failed", { sweep: sweep.name, reason: reasonOf(thrown) });
    }
  }
}
