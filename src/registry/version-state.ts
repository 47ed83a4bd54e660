/** What became of a version that was pushed: whether it can be run, and if not, why. */
import * as z from "zod";
import { AttachedPluginSchema } from "../contract/attached-plugin.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { problemStages } from "../contract/push.ts";
import type { VersionState } from "../contract/push.ts";
import type { Manifest } from "../contract/manifest.ts";

/** A column of a query in which `v` is the version's row. */
export const BUNDLE_COLUMN = `(SELECT json_object('bytes', b.bytes, 'files', b.files, 'stage', b.stage, 'problem', b.problem,
  'plugins', json(b.plugins), 'fetched', b.fetched_at IS NOT NULL, 'failed', b.failed, 'live', v.manifest ->> 'schema' IS NOT NULL) FROM bundles b WHERE b.owner = v.owner AND b.name = v.name AND b.version = v.id) AS bundle`;

/**
 * Whether the version of the row `versions` may be a model's latest: one that was pushed is, once its schema is known.
 */
export const IS_LIVE = `(versions.manifest ->> 'schema' IS NOT NULL OR NOT EXISTS (SELECT 1 FROM bundles b
  WHERE b.owner = versions.owner AND b.name = versions.name AND b.version = versions.id))`;

const BundleNoteSchema = z.object({
  bytes: z.number(),
  files: z.number(),
  stage: z.enum(problemStages).nullable(),
  problem: z.string().nullable(),
  /** Null: none came with it. */
  plugins: z.array(AttachedPluginSchema).nullable(),
  fetched: z.number(),
  /** 0: hosts go on trying. */
  failed: z.number(),
  live: z.number(),
});
export const BundleColumnSchema = z
  .string()
  .nullable()
  .transform((text) => (text === null ? null : BundleNoteSchema.parse(JSON.parse(text))));
/** Null: it was not pushed. */
export type BundleNote = z.output<typeof BundleColumnSchema>;

const NOT_THE_OWNER: OwnersView = { log: null, pluginProblem: null };
const NO_PLUGINS = { plugins: [], plugin_problem: null };

/** A version as far as its state goes. */
type Stated = { manifest: Manifest; bundle: BundleNote };

export function isPending({ bundle }: Pick<Stated, "bundle">): boolean {
  return bundle?.live === 0;
}

/** What only the owner is shown: `log` of the pool that reported the version's problem. */
export type OwnersView = { log: string | null; pluginProblem: string | null };

export function stateOf(version: Stated, { log, pluginProblem }: OwnersView = NOT_THE_OWNER): VersionState {
  const { bundle } = version;
  if (bundle === null) return { status: "live", problem: null, stage: null, log: null, bundle: null, ...NO_PLUGINS };
  const { bytes, files, stage, problem } = bundle;
  const plugins = (bundle.plugins ?? []).map(({ name, phases, fail_mode, hash }) => ({
    name,
    phases,
    fail_mode,
    hash,
  }));
  const rest = { stage, log, bundle: { bytes, files }, plugins, plugin_problem: pluginProblem };
  if (!isPending(version)) return { status: "live", problem, ...rest };
  if (problem !== null && bundle.failed > 0) return { status: "failed", problem, ...rest };
  return { status: "pending", problem: reasonOf(version.manifest, bundle), ...rest };
}

/** Throws `version_pending` unless the version can be run. */
export function refuseUnlessLive(version: Stated): void {
  const { status, problem } = stateOf(version);
  if (status === "live") return;
  const { owner, name, version: id } = version.manifest;
  const said =
    status === "failed"
      ? `could not be set up (${problem}): \`GET /v1/models/${owner}/${name}/versions/${id}\` has the log`
      : `is not live yet: ${problem}`;
  throw new EdgeplaneError("version_pending", `The version ${id.slice(0, 12)} of ${owner}/${name} ${said}.`);
}

function reasonOf(
  { owner, lane }: Manifest,
  { fetched, problem }: Pick<NonNullable<BundleNote>, "fetched" | "problem">,
): string {
  if (problem !== null)
    return `a pool could not set it up, and it is tried again, there or on another host: ${problem.split("\n")[0]}`;
  if (fetched === 1) return "a pool has asked for its files, and has yet to set it up";
  const token = `a token that has the owner "${owner}" and the lane "${lane}", and may register models`;
  return `no pool has asked for its files yet; it takes one with ${token}, on a host that isolates models, unless the gateway's TRUSTED_OWNERS names the owner`;
}
