/**
 * Which hosts could not run a version, and whether it has failed by that. One host that is sick fails no version: it
 * has failed once several hosts said the same, or all that may run it have tried and none could. A host that has not
 * tried yet does so all the same, unless several have: one that sets it up makes it live.
 */
import * as z from "zod";
import { problemStages } from "../contract/push.ts";
import type { VersionProblem } from "../contract/push.ts";

/** So many hosts that failed at the same stage are enough, whoever else may run it. */
const ENOUGH_HOSTS = 3;
/** A host that is the only one to run it tries so often; one that waits for others' word, so often. */
const TRIES_ALONE = 2;
const TRIES_BESIDE_OTHERS = 4;
/** Of a pool that does not count its tries: it makes no other. */
const UNCOUNTED = 1000;
/** The second try comes at once, the others after a while: something of the host may have passed by then. */
const SECOND_TRY_MS = 1000;
const LATER_TRIES_MS = 30_000;
/** Hosts that are looked at: more than ever report before the version has failed. */
const MAX_HOSTS = 32;

const ReportSchema = z.object({ stage: z.enum(problemStages), tries: z.number() });
export const ReportsColumnSchema = z
  .string()
  .nullable()
  .transform((text) => z.record(z.string(), ReportSchema).parse(JSON.parse(text ?? "{}")));
/** By host. */
export type Reports = z.output<typeof ReportsColumnSchema>;

/** 0: hosts go on trying. 1: all that may run it have tried. 2: so many have that nobody else does. */
export type Failed = 0 | 1 | 2;

/** The pool that speaks: its token and its session. */
export type Reporter = { token: string; session: string };

/** The host of a pool, as SQL: pools of one token are told apart by how they call themselves. */
export function hostSql(token: string, session: string): string {
  return `${token} || char(10) || coalesce((SELECT h.name FROM pools h WHERE h.session = ${session} AND h.token = ${token}), '')`;
}

/** What the host's own entry is, to be merged into the others. */
export function reportOf({ stage, tries = UNCOUNTED }: Pick<VersionProblem, "stage" | "tries">): Reports[string] {
  return { stage, tries };
}

/** Hosts of connected pools that may run versions of this owner on this lane. */
export function hostsStatement(
  db: D1Database,
  { owner, lane, isTrusted }: { owner: string; lane: string; isTrusted: boolean },
): D1PreparedStatement {
  return db
    .prepare(
      `SELECT DISTINCT p.token || char(10) || p.name AS host FROM pools p CROSS JOIN pool_tokens t ON t.id = p.token
       WHERE p.state = 'connected' AND t.revoked_at IS NULL AND t.may_register_models = 1
         AND EXISTS (SELECT 1 FROM json_each(t.owners) WHERE value = ?1)
         AND EXISTS (SELECT 1 FROM json_each(t.lanes) WHERE value = ?2)
         AND (?3 OR p.isolation IS NOT 'none') LIMIT ${MAX_HOSTS}`,
    )
    .bind(owner, lane, isTrusted ? 1 : 0);
}

const NamedSchema = z.object({ name: z.string() });

/** Those of these versions (`owner/name:version`) that were pushed and are deleted, or that no host could set up. */
export async function withoutUse(db: D1Database, names: readonly string[]): Promise<Set<string>> {
  if (names.length === 0) return new Set();
  const asked = names.map((name) => {
    const [, owner, model, version] = /^([^/]*)\/([^:]*):(.*)$/.exec(name) ?? [];
    return { name, owner, model, version };
  });
  const { results } = await db
    .prepare(
      `SELECT asked.value ->> 'name' AS name FROM json_each(?) asked JOIN bundles b
         ON b.owner = asked.value ->> 'owner' AND b.name = asked.value ->> 'model' AND b.version = asked.value ->> 'version'
       WHERE b.deleted_at IS NOT NULL OR (b.failed > 0 AND EXISTS (SELECT 1 FROM versions v
         WHERE v.owner = b.owner AND v.name = b.name AND v.id = b.version AND v.manifest ->> 'schema' IS NULL))`,
    )
    .bind(JSON.stringify(asked))
    .all();
  return new Set(results.map((row) => NamedSchema.parse(row).name));
}

/** Whether the version has failed by what hosts reported; `hosts`: those that may run it. */
export function judge(reports: Reports, hosts: readonly string[]): Failed {
  const all = Object.values(reports);
  const ofStage = problemStages.map((name) => all.filter(({ stage }) => stage === name).length);
  if (Math.max(...ofStage) >= ENOUGH_HOSTS) return 2;
  const mostTries = Math.max(0, ...all.map(({ tries }) => tries));
  const isSilent = hosts.some((host) => !Object.hasOwn(reports, host));
  if (isSilent) return mostTries >= TRIES_BESIDE_OTHERS ? 1 : 0;
  return all.length > 1 || mostTries >= TRIES_ALONE ? 1 : 0;
}

/** When a host that tried so often should try again. */
export function againInMs(tries: number): number {
  return tries <= 1 ? SECOND_TRY_MS : LATER_TRIES_MS * 2 ** Math.min(3, tries - 2);
}
