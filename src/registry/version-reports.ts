/**
 * Which hosts could not run a version, and whether it has failed by that. One host that is sick fails no version: it
 * has failed once several hosts said the same, or all that may run it have tried and none could. A host that has not
 * tried yet does so all the same, unless several have: one that sets it up makes it live.
 *
 * A pool names its host itself, so any number of hosts may be one stranger's. Pool tokens come from the operator alone:
 * hosts of one token speak for the hosts of that token, and those of several tokens for everybody.
 */
import * as z from "zod";
import { problemStages } from "../contract/push.ts";
import type { VersionProblem } from "../contract/push.ts";

/** So many hosts of a token that failed at the same stage speak for the token; so many tokens, for everybody. */
const ENOUGH = 3;
/** Hosts of a token that are remembered: of so many, enough failed at the same stage. */
const KEPT_OF_TOKEN = problemStages.length * (ENOUGH - 1) + 1;
/** The hosts of a token try so often together; one that waits for others' word, so often by itself. */
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

/** 0: hosts go on trying. 1: those that have yet to try do. 2: so many have that nobody else does. */
export type Failed = 0 | 1 | 2;

/** The pool that speaks: its token and its session. */
export type Reporter = { token: string; session: string };

/** The host of a pool, as SQL: pools of one token are told apart by how they call themselves. */
export function hostSql(token: string, session: string): string {
  return `${token} || char(10) || coalesce((SELECT h.name FROM pools h WHERE h.session = ${session} AND h.token = ${token}), '')`;
}

/** Whether a row `r` of a version's reports is of this token, as SQL. */
function ofTokenSql(token: string): string {
  return `substr(r.key, 1, length(${token}) + 1) = ${token} || char(10)`;
}

/** Whether the reports need no more hosts of this token, and have not this one, as SQL. */
export function isFullSql(reports: string, token: string, session: string): string {
  return `(SELECT count(*) >= ${KEPT_OF_TOKEN} AND NOT total(r.key = ${hostSql(token, session)})
    FROM json_each(${reports}) r WHERE ${ofTokenSql(token)})`;
}

/**
 * Whether this host need not try a version that has failed (1), as SQL: enough hosts of its token failed alike, or it
 * did itself, and they have tried often enough together.
 */
export function isSettledSql(reports: string, token: string, session: string): string {
  const ofToken = `FROM json_each(${reports}) r WHERE ${ofTokenSql(token)}`;
  return `(EXISTS (SELECT 1 ${ofToken} GROUP BY r.value ->> 'stage' HAVING count(*) >= ${ENOUGH})
    OR (SELECT total(r.value ->> 'tries') >= ${TRIES_ALONE} AND total(r.key = ${hostSql(token, session)}) ${ofToken}))`;
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
  const all = Object.entries(reports);
  const tokensByStage = problemStages.map((name) =>
    all.flatMap(([host, { stage }]) => (stage === name ? [tokenOf(host)] : [])),
  );
  if (tokensByStage.some((tokens) => new Set(tokens).size >= ENOUGH)) return 2;
  if (tokensByStage.some((tokens) => hasEnoughOfOne(tokens))) return 1;
  const mostTries = Math.max(0, ...all.map(([, { tries }]) => tries));
  const isSilent = hosts.some((host) => !Object.hasOwn(reports, host));
  if (isSilent) return mostTries >= TRIES_BESIDE_OTHERS ? 1 : 0;
  return all.length > 1 || mostTries >= TRIES_ALONE ? 1 : 0;
}

/** Whether the hosts of this token should try a version again that has failed (1): others' word may be a stranger's. */
export function isTriedTooLittle(reports: Reports, token: string): boolean {
  const tries = Object.entries(reports).flatMap(([host, report]) => (tokenOf(host) === token ? [report.tries] : []));
  return tries.reduce((sum, one) => sum + one, 0) < TRIES_ALONE;
}

function tokenOf(host: string): string {
  return host.slice(0, host.indexOf("\n"));
}

function hasEnoughOfOne(tokens: readonly string[]): boolean {
  return tokens.some((token) => tokens.filter((one) => one === token).length >= ENOUGH);
}

/** When a host that tried so often should try again. */
export function againInMs(tries: number): number {
  return tries <= 1 ? SECOND_TRY_MS : LATER_TRIES_MS * 2 ** Math.min(3, tries - 2);
}
