/**
 * Intake from topics of a real Kafka: one long poll pending while there is room, claims answered, offsets committed,
 * grants handed on.
 *
 *   polling ── no room ──▶ full ── room again ──▶ polling;  full for leaveAfterMs: leaves the group, once
 *   polling ── the log failed ──▶ backing off ──▶ polling (at once when the channel reconnects)
 *   any ── stop() ──▶ stopped
 */
import { totalRoom } from "./intake.ts";
import type { IntakeOptions } from "./intake.ts";
import { PollingIntake } from "./polling-intake.ts";

const LEAVE_AFTER_MS = 1000;
const WAIT_MS = 5000;

export class TopicIntake extends PollingIntake {
  #joined = false;

  constructor(options: IntakeOptions) {
    super(options, "polling");
  }

  override work(): void {
    this.wakeIn("backing off");
  }

  override channelChanged(): void {
    this.work();
  }

  protected override async turn(): Promise<void> {
    if (totalRoom(this.options.rooms()) === 0) await this.#waitForRoom();
    else await this.#pollOnce();
  }

  /** The lane's share goes to other pools. */
  protected override async leave(): Promise<void> {
    if (!this.#joined) return;
    this.#joined = false;
    // A log that can't be told forgets an instance that is silent for a while.
    await this.options.source.leave().catch(() => {});
  }

  async #pollOnce(): Promise<void> {
    const { source, clock, claiming, rooms } = this.options;
    this.polls();
    this.#joined = true;
    const startedAtMs = clock.nowMs();
    try {
      const { jobs, commit } = await source.poll({ rooms: rooms(), waitMs: WAIT_MS });
      this.worked();
      if (jobs.length > 0) await claiming.settle(jobs);
      // Also of a poll that brought only what is no job.
      commit();
      if (jobs.length === 0 && clock.nowMs() - startedAtMs < WAIT_MS / 2) {
        await this.pause("polling", 100);
      }
    } catch (error) {
      await this.failed(error);
    }
  }

  async #waitForRoom(): Promise<void> {
    await this.pause("full", this.#joined ? LEAVE_AFTER_MS : Infinity);
    if (this.state !== "stopped" && totalRoom(this.options.rooms()) === 0) await this.leave();
  }
}
