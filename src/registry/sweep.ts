/** Deletes what has expired: files, and uploads that were abandoned. Called by the Worker's schedule, every ten minutes. */
import type { Env } from "../env.ts";
import { sweepUploads } from "../storage/uploads.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { sweepFiles } from "./files.ts";

/** One sweep; what is left over, or fails, waits for the next. */
export async function sweepExpired(env: Env): Promise<void> {
  for (const sweep of [sweepFiles, sweepUploads]) {
    try {
      await sweep(env);
    } catch (thrown) {
      log.warn("sweep_failed", { sweep: sweep.name, reason: reasonOf(thrown) });
    }
  }
}
