/**
 * Which version a prediction gets: the one that is named or that the model's rules name, or one that is tried there.
 */
import { fits } from "../../canary/routes.ts";
import type { Requester } from "../../canary/routes.ts";
import { isAmong, subjectOf } from "../../canary/split.ts";
import type { CanaryTag } from "../../contract/canary.ts";
import type { Principal } from "../../../plugins/kernel/phases.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { modelPath } from "../../contract/manifest.ts";
import { aliasPointer, deploymentPointer, findCanary } from "../../registry/canaries.ts";
import type { Canary } from "../../registry/canaries.ts";
import { VERSION } from "../../registry/known-models.ts";
import { findVersion } from "../../registry/models.ts";
import type { Version } from "../../registry/models.ts";
import { findRules, LATEST } from "../../registry/pointers.ts";
import { findTarget } from "./find-target.ts";
import type { Reference } from "./find-target.ts";

export type Chosen = { version: Version; canary: CanaryTag | null };
/** `rule`: which of the model's rules decided, from 0. `split`: the canary that the request took part in. */
export type Choice = Chosen & { rule: number | null; split: Canary | null };

/** What is known of a request that names a version. `deployment`: the account's own name, whose release it names. */
export type Choosing = {
  principal: Principal;
  predictionId: string;
  deployment: string | null;
  header(name: string): string | undefined;
};

/** Throws `model_not_found`, `version_not_found`, `version_deleted` or `version_pending`. */
export async function chooseVersion(db: D1Database, named: Reference, asking: Choosing): Promise<Choice> {
  const { principal, predictionId, deployment, header } = asking;
  const { accountId, accountName } = principal;
  const requester = { predictionId, accountId, accountName, header };
  const { reference, base, rule } = await routed(db, named, principal, requester);
  const pointer = pointerOf(reference, deployment === null ? null : deploymentPointer(accountId, deployment));
  const canary = pointer === null ? null : await findCanary(db, pointer, base.manifest.version);
  if (canary === null) return { version: base, canary: null, rule, split: null };
  const isTried = isAmong(canary.percent, canary.id, subjectOf(canary.stickyBy, requester));
  if (!isTried) return { version: base, canary: { id: canary.id, arm: "base" }, rule, split: canary };
  const tried = await findVersion(db, principal, canary.model, canary.version);
  // It was deleted a moment ago, or isn't the caller's to know.
  if (tried === null) return { version: base, canary: null, rule, split: null };
  return { version: tried, canary: { id: canary.id, arm: "canary" }, rule, split: canary };
}

/**
 * What the model's rules make of a request that names the model alone. A rule whose version is gone, by force, is
 * passed over.
 */
async function routed(
  db: D1Database,
  reference: Reference,
  principal: Principal,
  requester: Requester,
): Promise<{ reference: Reference; base: Version; rule: number | null }> {
  const { model, version } = reference;
  const rules = model === null || version !== null ? [] : await findRules(db, principal, model);
  for (const [index, rule] of rules.entries()) {
    if (model === null || !fits(rule, modelPath(model), requester)) continue;
    const byRule = { model, version: rule.version };
    const base = await findTarget(db, principal, byRule).catch(goneAsNull);
    if (base !== null) return { reference: byRule, base, rule: index };
  }
  return { reference, base: await findTarget(db, principal, reference), rule: null };
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
