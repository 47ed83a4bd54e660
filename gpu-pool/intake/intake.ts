/**
 * Intake of one lane: one long poll pending while there is room, claims answered, offsets committed, grants handed on.
 *
 *   polling ── no work for idleAfterMs, channel open ──▶ idle ── nudge, or channel closed ──▶ polling
 *   polling ── no room ──▶ full ── room again ──▶ polling;  full for leaveAfterMs: leaves the group, once
 *   polling ── the log failed ──▶ backing off ──▶ polling (at once when the channel reconnects)
 *   any ── stop() ──▶ stopped
 */
import type { ClaimAnswer, Grant } from "../../src/contract/claim.ts";
import { createBackoff } from "../scheduling/backoff.ts";
import type { Clock } from "../scheduling/clock.ts";
import type { ClaimClient } from "./claim-client.ts";
import type { JobSource, SourcedJob } from "./job-source.ts";

const LEAVE_AFTER_MS = 1000;
/** The shard was slow or its reply full: ask again this much later, and this often; after that the edge hands on again. */
const LATER_MS = 150;
const LATER_TRIES = 20;

export type IntakeOptions = {
  source: JobSource;
  claims: ClaimClient;
  clock: Clock;
  idleAfterMs: number;
  /** How many more jobs the pool would take from this lane, and how many it would start at once. */
  room(): { room: number; startNow: number };
  channelOpen(): boolean;
  onGrants(grants: Grant[]): void;
  onRefused(reason: string): void;
  /** The log works (null) or fails (why). Called on every poll that ended. */
  onState(problem: string | null): void;
};

export class Intake {
  readonly #options: IntakeOptions;
  readonly #backoff = createBackoff({ firstMs: 50, capMs: 1500 });
  #state: "polling" | "idle" | "full" | "backing off" | "stopped" = "polling";
  #wake: (() => void) | null = null;
  #joined = false;
  #activeAtMs: number;
  #done: Promise<void> = Promise.resolve();

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#activeAtMs = options.clock.nowMs();
  }

  get state(): string {
    return this.#state;
  }

  start(): void {
    this.#done = this.#loop();
  }

  /** There is work on this lane, or the channel's state changed: look now. */
  nudge(): void {
    this.#activeAtMs = this.#options.clock.nowMs();
    if (this.#state === "idle" || this.#state === "backing off") this.#wake?.();
  }

  /** Room may have changed. */
  roomChanged(): void {
    if (this.#state === "full" && this.#options.room().room > 0) this.#wake?.();
  }

  /** Ends intake: no poll begins any more, and the lane's share goes to other pools. Resolves within `limitMs`. */
  async stop(limitMs: number): Promise<void> {
    this.#state = "stopped";
    this.#wake?.();
    await Promise.race([this.#leave().then(() => this.#done), this.#pause(limitMs, false)]);
  }

  async #loop(): Promise<void> {
    const { clock, idleAfterMs, channelOpen } = this.#options;
    while (this.#state !== "stopped") {
      const { room, startNow } = this.#options.room();
      if (room <= 0) await this.#waitForRoom();
      else if (this.#mayRest(clock.nowMs(), idleAfterMs, channelOpen())) await this.#rest("idle", Infinity);
      else await this.#pollOnce(room, startNow);
    }
  }

  /** A log that fails may hold work that no nudge will tell of again. */
  #mayRest(nowMs: number, idleAfterMs: number, channelOpen: boolean): boolean {
    return channelOpen && this.#backoff.failures === 0 && nowMs - this.#activeAtMs >= idleAfterMs;
  }

  async #pollOnce(room: number, startNow: number): Promise<void> {
    const { source, clock, idleAfterMs } = this.#options;
    this.#state = "polling";
    this.#joined = true;
    const startedAtMs = clock.nowMs();
    const waitMs = Math.max(100, Math.min(idleAfterMs, 10_000));
    try {
      const { jobs, commit } = await source.poll({ room, startNow, waitMs });
      this.#backoff.reset();
      this.#options.onState(null);
      if (jobs.length > 0) {
        this.#activeAtMs = clock.nowMs();
        await this.#settle(jobs, startNow);
        commit();
      } else if (clock.nowMs() - startedAtMs < waitMs / 2) {
        await this.#rest("polling", 100);
      }
    } catch (error) {
      this.#options.onState(error instanceof Error ? error.message : String(error));
      await this.#rest("backing off", this.#backoff.nextMs());
    }
  }

  /** Sees to it that each job has its answer: from the log where it brought one, else by a claim of our own. */
  async #settle(jobs: SourcedJob[], startNow: number): Promise<void> {
    const answered: ClaimAnswer[] = [];
    // A record that repeats another one is claimed with it.
    const unanswered = new Map<string, SourcedJob["job"]>();
    for (const { job, answer } of jobs) {
      const same = unanswered.get(job.id);
      if (answer !== null) answered.push(answer);
      else if (same === undefined || same.epoch < job.epoch) unanswered.set(job.id, job);
    }
    this.#accept(answered);
    if (unanswered.size === 0) return;
    const asked = [...unanswered.values()].map(({ id, epoch }) => ({ id, epoch }));
    this.#accept(await this.#options.claims.claim(asked, startNow));
  }

  #accept(answers: ClaimAnswer[], tries = 0): void {
    const grants: Grant[] = [];
    const later: string[] = [];
    for (const answer of answers) {
      if (answer.verdict === "granted") grants.push(answer);
      else if (answer.verdict === "refused") this.#options.onRefused(answer.reason);
      else later.push(answer.id);
    }
    if (grants.length > 0) this.#options.onGrants(grants);
    if (later.length > 0 && tries < LATER_TRIES) {
      this.#options.clock.after(LATER_MS, () => void this.#askAgain(later, tries + 1));
    }
  }

  async #askAgain(ids: string[], tries: number): Promise<void> {
    if (this.#state === "stopped") return;
    try {
      const { startNow } = this.#options.room();
      const jobs = ids.map((id) => ({ id }));
      this.#accept(await this.#options.claims.claim(jobs, startNow), tries);
    } catch {
      this.#accept(
        ids.map((id) => ({ id, verdict: "later" })),
        tries,
      );
    }
  }

  async #waitForRoom(): Promise<void> {
    await this.#rest("full", this.#joined ? LEAVE_AFTER_MS : Infinity);
    if (this.#state !== "stopped" && this.#options.room().room <= 0) await this.#leave();
    // More may wait than there was room for.
    this.#activeAtMs = this.#options.clock.nowMs();
  }

  async #leave(): Promise<void> {
    if (!this.#joined) return;
    this.#joined = false;
    // A log that can't be told forgets an instance that is silent for a while.
    await this.#options.source.leave().catch(() => {});
  }

  async #rest(state: "polling" | "idle" | "full" | "backing off", limitMs: number): Promise<void> {
    if (this.#state === "stopped") return;
    this.#state = state;
    await this.#pause(limitMs, true);
  }

  #pause(limitMs: number, wakeable: boolean): Promise<void> {
    return new Promise((resolve) => {
      const cancel = limitMs === Infinity ? null : this.#options.clock.after(limitMs, resolve);
      if (!wakeable) return;
      this.#wake = () => {
        cancel?.();
        this.#wake = null;
        resolve();
      };
    });
  }
}
