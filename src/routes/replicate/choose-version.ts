/** Which version a prediction gets: the one that is named, or one of the two that its name is split between. */
import { isAmong, subjectOf } from "../../canary/split.ts";
import type { CanaryTag } from "../../contract/canary.ts";
import { aliasPointer, deploymentPointer, findCanary } from "../../registry/canaries.ts";
import { VERSION } from "../../registry/known-models.ts";
import { findVersion } from "../../registry/models.ts";
import type { Version } from "../../registry/models.ts";
import { LATEST } from "../../registry/pointers.ts";
import type { AppContext } from "../app.ts";
import { findTarget } from "./find-target.ts";
import type { Reference } from "./find-target.ts";

export type Chosen = { version: Version; canary: CanaryTag | null };

/**
 * `deployment`: the account's own name, whose release the reference is. Throws `model_not_found`, `version_not_found` or
 * `version_deleted`.
 */
export async function chooseVersion(
  c: AppContext,
  reference: Reference,
  { predictionId, deployment }: { predictionId: string; deployment: string | null },
): Promise<Chosen> {
  const principal = c.get("principal");
  const base = await findTarget(c.env.DB, principal, reference);
  const pointer = pointerOf(reference, deployment === null ? null : deploymentPointer(principal.accountId, deployment));
  const canary = pointer === null ? null : await findCanary(c.env.DB, pointer, base.manifest.version);
  if (canary === null) return { version: base, canary: null };
  const asking = { predictionId, accountId: principal.accountId, header: (name: string) => c.req.header(name) };
  const isTried = isAmong(canary.percent, canary.id, subjectOf(canary.stickyBy, asking));
  if (!isTried) return { version: base, canary: { id: canary.id, arm: "base" } };
  const tried = await findVersion(c.env.DB, principal, canary.model, canary.version);
  // It was deleted a moment ago, or isn't the caller's to know.
  if (tried === null) return { version: base, canary: null };
  return { version: tried, canary: { id: canary.id, arm: "canary" } };
}

/** By what a canary of the name would be kept; null where a version itself is named. */
function pointerOf({ model, version }: Reference, deployment: string | null): string | null {
  if (deployment !== null) return deployment;
  if (model === null || (version !== null && VERSION.test(version))) return null;
  return aliasPointer(model, version ?? LATEST);
}
