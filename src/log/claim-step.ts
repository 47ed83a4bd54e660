/**
 * Claims on a pool's behalf within its consume: a record becomes its claim's answer, one hop fewer. A claimed record
 * counts as consumed; one that is answered `later` is handed out again. A record that is no job is dropped and counted.
 */
import type { ClaimAnswer } from "../contract/claim.ts";
import { CLAIM_RECORD_HEADER } from "../contract/claim.ts";
import { JobSchema } from "../contract/job.ts";
import type { Job } from "../contract/job.ts";
import type { Counters } from "./counters.ts";
import type { Groups, Member } from "./groups.ts";
import type { ClaimJobs, ClaimOrder, LogMessage } from "./protocol.ts";

/** A record whose claim was answered `later` is handed out again after this. */
export const LATER_MS = 500;

export type ClaimStep = (member: Member, messages: LogMessage[], order: ClaimOrder) => Promise<LogMessage[]>;

/** Answers the records with their claims' answers in a header; those to try later are left out. Never throws. */
export function createClaimStep(deps: { claimJobs: ClaimJobs; groups: Groups; counters: Counters }): ClaimStep {
  const { claimJobs, groups, counters } = deps;
  return async (member, messages, order) => {
    const jobs = new Map<string, { job: Job; message: LogMessage }>();
    for (const message of messages) {
      const job = parseJob(message.value);
      if (job !== null && !jobs.has(job.id)) {
        jobs.set(job.id, { job, message });
        continue;
      }
      counters.add(job === null ? "invalidJobs" : "repeatedJobs");
      groups.settle(member, message);
    }
    if (jobs.size === 0) return [];
    const request = {
      session: order.session,
      startNow: order.startNow,
      jobs: [...jobs.values()].map(({ job }) => ({ id: job.id, epoch: job.epoch })),
    };
    let answers: ClaimAnswer[] = [];
    try {
      answers = await claimJobs(request, { lanes: order.lanes });
    } catch (error) {
      counters.add("claimErrors");
      console.error("claim failed", error instanceof Error ? error.message : String(error));
    }
    const claimed: LogMessage[] = [];
    const byId = new Map(answers.map((entry) => [entry.id, entry]));
    for (const [id, { message }] of jobs) {
      const verdict = byId.get(id);
      counters.add(`claims.${verdict?.verdict ?? "unanswered"}`);
      if (verdict === undefined || verdict.verdict === "later") {
        groups.redeliver(member, message, Date.now() + LATER_MS);
        continue;
      }
      groups.settle(member, message);
      const header = { key: CLAIM_RECORD_HEADER, value: JSON.stringify(verdict) };
      claimed.push({ ...message, headers: [...message.headers, header] });
    }
    return claimed;
  };
}

function parseJob(value: string): Job | null {
  try {
    return JobSchema.safeParse(JSON.parse(value)).data ?? null;
  } catch {
    return null;
  }
}
