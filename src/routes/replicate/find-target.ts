/** Which version of which model a client means. */
import { EdgeplaneError } from "../../contract/errors.ts";
import { wasDeleted } from "../../registry/delete-version.ts";
import { findVersion, listVersions } from "../../registry/models.ts";
import type { Version, Viewer } from "../../registry/models.ts";
import { findPointer, LATEST } from "../../registry/pointers.ts";
import { refuseUnlessLive } from "../../registry/version-state.ts";
import { compileInputValidator } from "./input-schema.ts";
import type { InputValidator } from "./input-schema.ts";

const VERSION = /^[0-9a-f]{64}$/;
const REFERENCE = /^([^/:]+)\/([^/:]+)(?::(.+))?$/;

const validators = new WeakMap<Version, InputValidator>();

export type Reference = { model: { owner: string; name: string } | null; version: string | null };

/**
 * Reads `owner/name`, `owner/name:version`, `owner/name:alias` or a bare version. Throws `version_not_found` for
 * anything else, as Replicate does.
 */
export function parseReference(text: string): Reference {
  if (VERSION.test(text)) return { model: null, version: text };
  const [, owner, name, version] = REFERENCE.exec(text) ?? [];
  if (owner === undefined || name === undefined) {
    throw new EdgeplaneError(
      "version_not_found",
      "`version` must be a version's 64 hexadecimal digits, `owner/name`, `owner/name:version` or `owner/name:alias`.",
    );
  }
  return { model: { owner, name }, version: version ?? null };
}

/**
 * What `version` in the body means where the path names the model: one of its versions or aliases, or both written out.
 * Throws `invalid_input` when it names another model.
 */
export function referenceWithin(model: { owner: string; name: string }, version: string | null): Reference {
  if (version === null || !version.includes("/")) return { model, version };
  const named = parseReference(version);
  if (named.model?.owner === model.owner && named.model.name === model.name) return named;
  const description = "names another model than the path";
  throw new EdgeplaneError("invalid_input", `- version: ${description}\n`, {
    invalidFields: [{ field: "version", description }],
  });
}

/**
 * Finds what a reference means to the viewer: a version, or what a name of the model points to. Throws
 * `model_not_found`, `version_not_found`, `version_deleted`, or `version_pending` for one that can't be run yet.
 */
export async function findTarget(db: D1Database, viewer: Viewer, { model, version }: Reference): Promise<Version> {
  if (version !== null) {
    const found = await findNamed(db, viewer, model, version);
    if (found !== null) return live(found);
    throw new EdgeplaneError("version_not_found", "The version does not exist here, or the key may not use it.");
  }
  const latest = model === null ? undefined : await findPointer(db, viewer, model, LATEST);
  if (latest === undefined) throw new EdgeplaneError("model_not_found", "The model does not exist here.");
  if (latest !== null) return live(latest);
  const [pushed] = model === null ? [] : await listVersions(db, model, { after: null, limit: 1 });
  if (pushed !== undefined) refuseUnlessLive(pushed);
  throw new EdgeplaneError("version_not_found", "The model has no version yet.");
}

function live(version: Version): Version {
  refuseUnlessLive(version);
  return version;
}

/**
 * The version that a version's digits or an alias names; null when the viewer may know of none. Throws
 * `version_deleted` for one that was.
 */
export async function findNamed(
  db: D1Database,
  viewer: Viewer,
  model: { owner: string; name: string } | null,
  version: string,
): Promise<Version | null> {
  if (!VERSION.test(version)) return model === null ? null : ((await findPointer(db, viewer, model, version)) ?? null);
  const found = await findVersion(db, viewer, model, version);
  if (found === null && (await wasDeleted(db, viewer, model, version)))
    throw new EdgeplaneError("version_deleted", `The version ${version} was deleted by its owner.`);
  return found;
}

/** The version's validator, compiled once for as long as the isolate remembers the version. */
export function validatorOf(version: Version): InputValidator {
  const known = validators.get(version);
  if (known !== undefined) return known;
  const compiled = compileInputValidator(version.manifest.schema);
  validators.set(version, compiled);
  return compiled;
}
