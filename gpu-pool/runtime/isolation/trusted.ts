/** Which models may run where nothing isolates them. */
import { modelPath } from "../../../src/contract/manifest.ts";
import type { FoundModels } from "../models/find-models.ts";
import type { IsolationState } from "./types.ts";

/**
 * Leaves out the models of owners whom the operator doesn't trust with this host, where it doesn't isolate: they become
 * problems with the reason, and are offered to nobody.
 */
export function runnableHere(
  found: FoundModels,
  { kind, why }: IsolationState,
  trusted: readonly string[],
): FoundModels {
  if (kind !== "none") return found;
  const isTrusted = ({ manifest }: FoundModels["models"][number]): boolean => trusted.includes(manifest.owner);
  const refused = found.models
    .filter((model) => !isTrusted(model))
    .map(({ manifest }) => ({
      folder: modelPath(manifest),
      problem: `models of "${manifest.owner}" run only where they are isolated, and this host doesn't isolate: ${why}`,
    }));
  return { models: found.models.filter(isTrusted), problems: [...found.problems, ...refused] };
}
