/** Sees to it that each job which came has its claim's answer, and hands on what is granted. */
import type { ClaimAnswer, Grant } from "../../src/contract/claim.ts";
import type { ModelRoom } from "../../src/contract/channel.ts";
import type { Job } from "../../src/contract/job.ts";
import type { Clock } from "../scheduling/clock.ts";
import { MAX_JOBS } from "./claim-client.ts";
import type { ClaimClient } from "./claim-client.ts";
import type { SourcedJob } from "./job-source.ts";

/**
 * The shard was slow or its reply full: ask again this much later, and this often; after that the edge hands on again.
 */
const LATER_MS = 150;
const LATER_TRIES = 20;

export type ClaimingOptions = {
  claims: ClaimClient;
  clock: Clock;
  /** What the pool has room for on this lane. */
  rooms(): readonly ModelRoom[];
  onGrants(grants: Grant[]): void;
  onRefused(reason: string): void;
};

export class Claiming {
  readonly #options: ClaimingOptions;
  readonly #underway = new Set<Promise<unknown>>();
  #isStopped = false;

  constructor(options: ClaimingOptions) {
    this.#options = options;
  }

  /** Asks no more. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Resolves when every request has ended that may bring grants and is under way now. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underway);
  }

  /** Names a request that may bring grants. Rejects as it does. */
  async track<T>(request: Promise<T>): Promise<T> {
    this.#underway.add(request);
    try {
      return await request;
    } finally {
      this.#underway.delete(request);
    }
  }

  /**
   * Takes the answers that the log brought, and claims the others itself where there is room for their models. What has
   * none is left: a record is only a hint, and the lane grants the job to whom it can. Throws as a claim does.
   */
  async settle(sourced: readonly SourcedJob[]): Promise<void> {
    const answered: ClaimAnswer[] = [];
    const jobs = new Map(sourced.map(({ job }) => [job.id, job]));
    // A record that repeats another one is claimed with it.
    const unanswered = new Map<string, Job>();
    for (const { job, answer } of sourced) {
      const same = unanswered.get(job.id);
      if (answer !== null) answered.push(answer);
      else if (same === undefined || same.epoch < job.epoch) unanswered.set(job.id, job);
    }
    this.#accept(answered, jobs);
    await this.#claim(unanswered);
  }

  async #claim(jobs: ReadonlyMap<string, Job>, tries = 0): Promise<void> {
    const asked = this.#withRoom([...jobs.values()]);
    for (let at = 0; at < asked.length; at += MAX_JOBS) {
      const some = asked.slice(at, at + MAX_JOBS);
      this.#accept(await this.track(this.#options.claims.claim(some)), jobs, tries);
    }
  }

  /** Those that there is room for, and which of them start at once. */
  #withRoom(jobs: readonly Job[]): { id: string; epoch: number; startNow: boolean }[] {
    const left = new Map(
      this.#options.rooms().map(({ model, version, room, startNow }) => [`${model} ${version}`, { room, startNow }]),
    );
    return jobs.flatMap(({ id, epoch, model, version }) => {
      const room = left.get(`${model} ${version}`);
      if (room === undefined || room.room <= 0) {
        this.#options.onRefused("no_room");
        return [];
      }
      room.room -= 1;
      room.startNow -= 1;
      return { id, epoch, startNow: room.startNow >= 0 };
    });
  }

  #accept(answers: readonly ClaimAnswer[], jobs: ReadonlyMap<string, Job>, tries = 0): void {
    const grants: Grant[] = [];
    const later = new Map<string, Job>();
    for (const answer of answers) {
      if (answer.verdict === "granted") grants.push(answer);
      else if (answer.verdict === "refused") this.#options.onRefused(answer.reason);
      else {
        const job = jobs.get(answer.id);
        if (job !== undefined) later.set(job.id, job);
      }
    }
    if (grants.length > 0) this.#options.onGrants(grants);
    if (later.size > 0 && tries < LATER_TRIES)
      this.#options.clock.after(LATER_MS, () => void this.#askAgain(later, tries + 1));
  }

  async #askAgain(jobs: ReadonlyMap<string, Job>, tries: number): Promise<void> {
    if (this.#isStopped) return;
    try {
      await this.#claim(jobs, tries);
    } catch {
      this.#accept(
        Array.from(jobs.keys(), (id) => ({ id, verdict: "later" })),
        jobs,
        tries,
      );
    }
  }
}
