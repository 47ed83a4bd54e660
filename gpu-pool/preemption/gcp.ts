/**
 * Spot and preemptible VMs of Compute Engine. The service tells of the change itself; the host is gone 30 s later.
 * Source: Compute Engine documentation, "Spot VMs: preemption process" and "About VM metadata: waiting for changes".
 */
import type { Ask, Cloud, Notice } from "./notice.ts";

const PATH = "/computeMetadata/v1/instance/preempted";
const FLAVOR = { "metadata-flavor": "Google" };
const NOTICE_MS = 30_000;
/** The service answers after this time at the latest, changed or not. */
const WAIT_SECONDS = 30;
/** One that does not wait is not asked without end. */
const REST_MS = 100;

export function createGcp(ask: Ask): Cloud {
  let etag = "0";
  return {
    everyMs: REST_MS,
    async probe() {
      const { status, headers } = await ask("GET", PATH, FLAVOR);
      return status === 200 && headers["metadata-flavor"] === "Google";
    },
    async look(): Promise<Notice | null> {
      const query = `?wait_for_change=true&timeout_sec=${WAIT_SECONDS}&last_etag=${encodeURIComponent(etag)}`;
      const { status, text, headers } = await ask("GET", PATH + query, FLAVOR, (WAIT_SECONDS + 5) * 1000);
      if (status !== 200) throw new Error(`the metadata service answered ${status}`);
      etag = typeof headers["etag"] === "string" ? headers["etag"] : "0";
      return text.trim() === "TRUE" ? { withinMs: NOTICE_MS, why: "Google Cloud preempts this VM" } : null;
    },
  };
}
