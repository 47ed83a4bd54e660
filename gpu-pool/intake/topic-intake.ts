/**
 * Intake from topics of a real Kafka: one long poll pending while there is room, claims answered, offsets committed,
 * grants handed on.
 *
 *   polling ── no room ──▶ full ── room again ──▶ polling;  full for leaveAfterMs: leaves the group, once
 *   polling ── the log failed ──▶ backing off ──▶ polling (at once when the channel reconnects)
 *   any ── stop() ──▶ stopped
 */
import { createBackoff } from "../scheduling/backoff.ts";
import { totalRoom } from "./intake.ts";
import type { Intake, IntakeOptions } from "./intake.ts";
import { Wakeable } from "./wakeable.ts";

const LEAVE_AFTER_MS = 1000;
const WAIT_MS = 5000;

export class TopicIntake implements Intake {
  readonly #options: IntakeOptions;
  readonly #rest: Wakeable;
  readonly #backoff = createBackoff({ firstMs: 50, capMs: 1500 });
  #state: "polling" | "full" | "backing off" | "stopped" = "polling";
  #joined = false;
  #done: Promise<void> = Promise.resolve();

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#rest = new Wakeable(options.clock);
  }

  get state(): string {
    return this.#state;
  }

  start(): void {
    this.#done = this.#loop();
  }

  work(): void {
    if (this.#state === "backing off") this.#rest.wake();
  }

  channelChanged(): void {
    this.work();
  }

  roomChanged(): void {
    if (this.#state === "full" && totalRoom(this.#options.rooms()) > 0) this.#rest.wake();
  }

  /** Ends intake, and the lane's share goes to other pools. */
  async stop(limitMs: number): Promise<void> {
    this.#state = "stopped";
    this.#rest.wake();
    const limit = new Promise<void>((resolve) => this.#options.clock.after(limitMs, resolve));
    await Promise.race([this.#leave().then(() => this.#done), limit]);
  }

  async #loop(): Promise<void> {
    while (this.#state !== "stopped") {
      if (totalRoom(this.#options.rooms()) === 0) await this.#waitForRoom();
      else await this.#pollOnce();
    }
  }

  async #pollOnce(): Promise<void> {
    const { source, clock, claiming, rooms, onState } = this.#options;
    this.#state = "polling";
    this.#joined = true;
    const startedAtMs = clock.nowMs();
    try {
      const { jobs, commit } = await source.poll({ rooms: rooms(), waitMs: WAIT_MS });
      this.#backoff.reset();
      onState(null);
      if (jobs.length > 0) {
        await claiming.settle(jobs);
        commit();
      } else if (clock.nowMs() - startedAtMs < WAIT_MS / 2) {
        await this.#pause("polling", 100);
      }
    } catch (error) {
      onState(error instanceof Error ? error.message : String(error));
      await this.#pause("backing off", this.#backoff.nextMs());
    }
  }

  async #waitForRoom(): Promise<void> {
    await this.#pause("full", this.#joined ? LEAVE_AFTER_MS : Infinity);
    if (this.#state !== "stopped" && totalRoom(this.#options.rooms()) === 0) await this.#leave();
  }

  async #leave(): Promise<void> {
    if (!this.#joined) return;
    this.#joined = false;
    // A log that can't be told forgets an instance that is silent for a while.
    await this.#options.source.leave().catch(() => {});
  }

  async #pause(state: "polling" | "full" | "backing off", limitMs: number): Promise<void> {
    if (this.#state === "stopped") return;
    this.#state = state;
    await this.#rest.pause(limitMs);
  }
}
