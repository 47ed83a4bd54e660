/**
 * Who is granted what: a pool asks for jobs, or its lane has found room for them. A grant is stored before anybody
 * learns of it; what a pool never got goes back to its lane and costs nothing.
 */
import type { ClaimRef } from "../contract/channel.ts";
import type { ClaimAnswer, ClaimRequest } from "../contract/claim.ts";
import type { PredictionError } from "../contract/prediction.ts";
import { grantOf } from "./grant.ts";
import * as machine from "./machine.ts";
import type { Effect } from "./machine.ts";
import type { Outgoing } from "./outgoing.ts";
import { beginAttempt } from "./progress.ts";
import type { Progress } from "./progress.ts";
import { isFinished, isGranted } from "./row.ts";
import type { Row } from "./row.ts";
import type { Rules } from "./rules.ts";
import type { Store } from "./store.ts";
import type { LeaseChecks } from "./types.ts";
import { awaitsUsage } from "./usage.ts";

/** Input characters after which a claim's reply answers `later`. */
const MAX_REPLY_CHARS = 4 * 1024 * 1024;

type Ask = { session: string; lanes: readonly string[]; startNow: boolean };

export type GrantingDeps = {
  rules: Rules;
  now: () => number;
  newToken: () => string;
  store: Store;
  outgoing: Outgoing;
  /** Runs what touches one prediction; null when that went wrong. */
  alone<T>(id: string, run: () => T): T | null;
  load(id: string): Progress | null;
  save(progress: Progress, effects: readonly Effect[], settleWake?: boolean): void;
};

export function createGranting(deps: GrantingDeps) {
  const { rules, now, newToken, store, outgoing, alone, load, save } = deps;

  function claimOne(id: string, ask: Ask): ClaimAnswer {
    const progress = load(id);
    if (progress === null) return { id, verdict: "refused", reason: "unknown" };
    const { row } = progress;
    const waited = row.state === "waiting";
    const { verdict, effects } = machine.claim(row, { ...ask, token: newToken() }, now(), rules);
    if (verdict === "granted") {
      if (waited) {
        progress.storedSeq = 0;
        beginAttempt(progress, store);
        outgoing.noteGranted(row, ask.session);
        save(progress, effects);
      }
      return grantOf(row, now());
    }
    if (effects.length > 0) save(progress, effects);
    return { id: row.id, verdict: "refused", reason: verdict };
  }

  function each(ids: Iterable<string>, run: (progress: Progress) => void): void {
    for (const id of ids) {
      alone(id, () => {
        const progress = load(id);
        if (progress !== null) run(progress);
      });
    }
  }

  /** Whether it waits. A lane that still has what ended did not hear of the end, as its shard began anew. */
  function waits(row: Row): boolean {
    if (isFinished(row.state)) outgoing.withdraw(row);
    return row.state === "waiting";
  }

  return {
    /** Answers come in the order of the jobs; `later` when the reply is full. */
    claim({ session, jobs }: ClaimRequest, lanes: readonly string[]): ClaimAnswer[] {
      let replyChars = 0;
      return jobs.map(({ id, startNow }) => {
        if (replyChars > MAX_REPLY_CHARS) return { id, verdict: "later" };
        const answer = alone(id, () => claimOne(id, { session, lanes, startNow }));
        if (answer?.verdict !== "granted") return answer ?? { id, verdict: "later" };
        replyChars += answer.input === undefined ? 0 : JSON.stringify(answer.input).length;
        return answer;
      });
    },

    /**
     * The lane has room for these at a session: what still waits is granted to it, and the grants leave over its
     * channel. The pool reports their starts.
     */
    push(session: string, ids: readonly string[]): void {
      each(ids, ({ row }) => {
        if (!waits(row)) return;
        const answer = claimOne(row.id, { session, lanes: [row.fixed.lane], startNow: false });
        if (answer.verdict === "granted") outgoing.grant(session, answer);
      });
    },

    /** The lane found that no pool can set the model up: what still waits fails, with the reason. */
    failWaiting(ids: readonly string[], error: PredictionError): void {
      each(ids, (progress) => {
        if (waits(progress.row)) save(progress, machine.fail(progress.row, error, now()));
      });
    },

    /** Applies a verdict on a session's lease to the claims that it still holds; null: it changes nothing. */
    judge(session: string, ids: readonly string[], verdict: (row: Row) => Effect[] | null, settleWake: boolean): void {
      each(ids, (progress) => {
        const isAsked = isGranted(progress.row) || awaitsUsage(progress.row);
        if (progress.row.session !== session || !isAsked) return;
        const effects = verdict(progress.row);
        if (effects !== null) save(progress, effects, settleWake);
      });
    },

    /** Grants that never left for their pool. */
    undelivered(claims: readonly ClaimRef[]): void {
      const tokens = new Map(claims.map(({ id, token }) => [id, token]));
      each(tokens.keys(), (progress) => {
        const { row } = progress;
        if (row.token === tokens.get(row.id) && isGranted(row)) save(progress, machine.unseen(row, now(), rules));
      });
    },

    /** Those that no event has come of, by pool session: their grants may not have arrived. */
    unanswered(claims: readonly ClaimRef[]): LeaseChecks {
      const checks: LeaseChecks = new Map();
      for (const { id, token } of claims) {
        const row = load(id)?.row;
        if (row?.token !== token || row.session === null || row.nextSeq > 0 || !isGranted(row)) continue;
        checks.set(row.session, [...(checks.get(row.session) ?? []), id]);
      }
      return checks;
    },
  };
}
