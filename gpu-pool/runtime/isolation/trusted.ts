/** Which models may run where nothing isolates them. */
import { modelPath } from "../../../src/contract/manifest.ts";
import type { FoundModels } from "../models/find-models.ts";
import type { IsolationState } from "./types.ts";

/** Why models of this owner don't run on this host; null where they do. */
export function refusalOf(owner: string, { kind, why }: IsolationState, trusted: readonly string[]): string | null {
  if (kind !== "none" || trusted.includes(owner)) return null;
  return `models of "${owner}" run only where they are isolated, and this host doesn't isolate: ${why}`;
}

/**
 * Leaves out the models of owners whom the operator doesn't trust with this host, where it doesn't isolate: they become
 * problems with the reason, and are offered to nobody.
 */
export function runnableHere(found: FoundModels, isolation: IsolationState, trusted: readonly string[]): FoundModels {
  const problemOf = ({ manifest }: FoundModels["models"][number]): string | null =>
    refusalOf(manifest.owner, isolation, trusted);
  const refused = found.models.flatMap((model) => {
    const problem = problemOf(model);
    return problem === null ? [] : { folder: modelPath(model.manifest), problem };
  });
  return {
    models: found.models.filter((model) => problemOf(model) === null),
    problems: [...found.problems, ...refused],
  };
}
