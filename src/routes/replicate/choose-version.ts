/**
 * Which version a prediction gets: the one that is named or that the model's rules name, or one that is tried there.
 */
import { fits } from "../../canary/routes.ts";
import type { Requester } from "../../canary/routes.ts";
import { isAmong, subjectOf } from "../../canary/split.ts";
import type { CanaryTag } from "../../contract/canary.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { modelPath } from "../../contract/manifest.ts";
import { aliasPointer, deploymentPointer, findCanary } from "../../registry/canaries.ts";
import { VERSION } from "../../registry/known-models.ts";
import { findVersion } from "../../registry/models.ts";
import type { Version } from "../../registry/models.ts";
import { findRules, LATEST } from "../../registry/pointers.ts";
import type { AppContext } from "../app.ts";
import { findTarget } from "./find-target.ts";
import type { Reference } from "./find-target.ts";

export type Chosen = { version: Version; canary: CanaryTag | null };

/**
 * `deployment`: the account's own name, whose release the reference is. Throws `model_not_found`, `version_not_found`
 * or `version_deleted`.
 */
export async function chooseVersion(
  c: AppContext,
  named: Reference,
  { predictionId, deployment }: { predictionId: string; deployment: string | null },
): Promise<Chosen> {
  const principal = c.get("principal");
  const { accountId, accountName } = principal;
  const requester = { predictionId, accountId, accountName, header: (name: string) => c.req.header(name) };
  const { reference, base } = await routed(c, named, requester);
  const pointer = pointerOf(reference, deployment === null ? null : deploymentPointer(accountId, deployment));
  const canary = pointer === null ? null : await findCanary(c.env.DB, pointer, base.manifest.version);
  if (canary === null) return { version: base, canary: null };
  const isTried = isAmong(canary.percent, canary.id, subjectOf(canary.stickyBy, requester));
  if (!isTried) return { version: base, canary: { id: canary.id, arm: "base" } };
  const tried = await findVersion(c.env.DB, principal, canary.model, canary.version);
  // It was deleted a moment ago, or isn't the caller's to know.
  if (tried === null) return { version: base, canary: null };
  return { version: tried, canary: { id: canary.id, arm: "canary" } };
}

/**
 * What the model's rules make of a request that names the model alone. A rule whose version is gone, by force, is
 * passed over.
 */
async function routed(
  c: AppContext,
  reference: Reference,
  requester: Requester,
): Promise<{ reference: Reference; base: Version }> {
  const { model, version } = reference;
  const principal = c.get("principal");
  const rules = model === null || version !== null ? [] : await findRules(c.env.DB, principal, model);
  for (const rule of rules) {
    if (model === null || !fits(rule, modelPath(model), requester)) continue;
    const byRule = { model, version: rule.version };
    const base = await findTarget(c.env.DB, principal, byRule).catch(goneAsNull);
    if (base !== null) return { reference: byRule, base };
  }
  return { reference, base: await findTarget(c.env.DB, principal, reference) };
}

function goneAsNull(error: unknown): null {
  if (error instanceof EdgeplaneError) return null;
  throw error;
}

/** By what a canary of the name would be kept; null where a version itself is named. */
function pointerOf({ model, version }: Reference, deployment: string | null): string | null {
  if (deployment !== null) return deployment;
  if (model === null || (version !== null && VERSION.test(version))) return null;
  return aliasPointer(model, version ?? LATEST);
}
