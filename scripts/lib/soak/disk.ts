/** How much of the disk a stack's state takes, by what it is: databases with their write-ahead logs, and blobs. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** Folders under the state, by what lies in them. */
const folders: Record<string, readonly string[]> = {
  predictions: ["do/edgeplane-PredictionShard", "do/edgeplane-AccountIndex"],
  files: ["blobs", "do/edgeplane-LocalBucketIndex"],
  webhooks: ["do/edgeplane-WebhookSender"],
  log: ["do/edgeplane-LogBroker"],
};

/** Bytes by what they are; a folder that is not there has none. */
export function diskOf(stateDir: string): Map<string, number> {
  const sizeOf = (folder: string) => bytesIn(join(stateDir, "edge", folder));
  return new Map(
    Object.entries(folders).map(([name, parts]) => [name, parts.reduce((sum, part) => sum + sizeOf(part), 0)]),
  );
}

function bytesIn(folder: string): number {
  const names = entriesOf(folder);
  return names.reduce((sum, name) => sum + bytesOf(join(folder, name)), 0);
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" });
  } catch {
    return [];
  }
}

/** 0 when it is gone by now: files come and go under the load. */
function bytesOf(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() === true ? found.size : 0;
}
