/** Which version of which model a client means. */
import { EdgeplaneError } from "../../contract/errors.ts";
import { findLatestVersion, findVersion } from "../../registry/models.ts";
import type { Version, Viewer } from "../../registry/models.ts";
import { compileInputValidator } from "./input-schema.ts";
import type { InputValidator } from "./input-schema.ts";

const VERSION = /^[0-9a-f]{64}$/;
const REFERENCE = /^([^/:]+)\/([^/:]+)(?::(.+))?$/;

const validators = new WeakMap<Version, InputValidator>();

export type Reference = { model: { owner: string; name: string } | null; version: string | null };

/**
 * Reads `owner/name`, `owner/name:version` or a bare version. Throws `version_not_found` for anything else, as
 * Replicate does.
 */
export function parseReference(text: string): Reference {
  if (VERSION.test(text)) return { model: null, version: text };
  const [, owner, name, version] = REFERENCE.exec(text) ?? [];
  if (owner === undefined || name === undefined) {
    throw new EdgeplaneError(
      "version_not_found",
      "`version` must be a version's 64 hexadecimal digits, `owner/name`, or `owner/name:version`.",
    );
  }
  return { model: { owner, name }, version: version ?? null };
}

/** Finds what a reference means to the viewer. Throws `model_not_found` or `version_not_found`. */
export async function findTarget(db: D1Database, viewer: Viewer, { model, version }: Reference): Promise<Version> {
  if (version !== null) {
    const found = VERSION.test(version) ? await findVersion(db, viewer, model, version) : null;
    if (found !== null) return found;
    throw new EdgeplaneError("version_not_found", "The version does not exist here, or the key may not use it.");
  }
  const latest = model === null ? undefined : await findLatestVersion(db, viewer, model);
  if (latest === undefined) throw new EdgeplaneError("model_not_found", "The model does not exist here.");
  if (latest === null) throw new EdgeplaneError("version_not_found", "The model has no version yet.");
  return latest;
}

/** The version's validator, compiled once for as long as the isolate remembers the version. */
export function validatorOf(version: Version): InputValidator {
  const known = validators.get(version);
  if (known !== undefined) return known;
  const compiled = compileInputValidator(version.manifest.schema);
  validators.set(version, compiled);
  return compiled;
}
