/**
 * Intake from topics that the lane itself serves: it answers a poll at once with what this pool has room for, granted,
 * and the control channel says when there is work. So nothing is polled without a reason.
 *
 *   waiting ── told of work, or the channel is down ──▶ polling ── nothing came ──▶ waiting;  jobs came, room left ──▶ polling
 *   polling ── no room ──▶ full ── room again ──▶ polling
 *   polling ── failed ──▶ backing off ──▶ polling (at once when the channel opens)
 *   any ── stop() ──▶ stopped
 */
import type { ModelRoom } from "../../src/contract/channel.ts";
import { createBackoff } from "../scheduling/backoff.ts";
import { totalRoom } from "./intake.ts";
import type { Intake, IntakeOptions } from "./intake.ts";
import { Wakeable } from "./wakeable.ts";

/** While the channel is down nobody tells of work. Half of it is random, so that pools don't ask as one. */
const UNTOLD_POLL_MS = 2000;

const MAX_MODELS = 100;

export type ServedIntakeOptions = IntakeOptions & { random?: () => number };

export class ServedIntake implements Intake {
  readonly #options: ServedIntakeOptions;
  readonly #rest: Wakeable;
  readonly #backoff = createBackoff({ firstMs: 50, capMs: 1500 });
  #state: "waiting" | "polling" | "full" | "backing off" | "stopped" = "waiting";
  /** There may be something that this pool could take. */
  #isDue = false;
  #done: Promise<void> = Promise.resolve();

  constructor(options: ServedIntakeOptions) {
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
    this.#isDue = true;
    if (this.#state === "waiting") this.#rest.wake();
  }

  channelChanged(): void {
    if (this.#state === "waiting" || this.#state === "backing off") this.#rest.wake();
  }

  roomChanged(): void {
    if (this.#state === "full" && totalRoom(this.#options.rooms()) > 0) this.#rest.wake();
  }

  async stop(limitMs: number): Promise<void> {
    this.#state = "stopped";
    this.#rest.wake();
    await Promise.race([this.#done, new Promise<void>((resolve) => this.#options.clock.after(limitMs, resolve))]);
  }

  async #loop(): Promise<void> {
    const { channelOpen, rooms, random = Math.random } = this.#options;
    while (this.#state !== "stopped") {
      if (!this.#isDue && channelOpen()) await this.#pause("waiting", Infinity);
      else if (totalRoom(rooms()) === 0) await this.#pause("full", Infinity);
      else {
        await this.#pollOnce();
        const isBlind = !this.#isDue && !channelOpen();
        if (isBlind) await this.#pause("waiting", UNTOLD_POLL_MS * (0.5 + random() / 2));
      }
    }
  }

  async #pollOnce(): Promise<void> {
    const { source, claiming, onPoll, onState } = this.#options;
    this.#state = "polling";
    this.#isDue = false;
    try {
      const rooms = this.#roomsToSay();
      const polled = claiming.track(source.poll({ rooms, waitMs: 0 }));
      onPoll(rooms);
      const { jobs } = await polled;
      this.#backoff.reset();
      onState(null);
      if (jobs.length === 0) return;
      this.#isDue = true;
      await claiming.settle(jobs);
    } catch (error) {
      this.#isDue = true;
      onState(error instanceof Error ? error.message : String(error));
      await this.#pause("backing off", this.#backoff.nextMs());
    }
  }

  /** Beyond so many models the header would be too long; what waits for the others comes over the control channel. */
  #roomsToSay(): ModelRoom[] {
    return this.#options
      .rooms()
      .filter(({ room }) => room > 0)
      .slice(0, MAX_MODELS);
  }

  async #pause(state: "waiting" | "full" | "backing off", limitMs: number): Promise<void> {
    if (this.#state === "stopped") return;
    this.#state = state;
    await this.#rest.pause(limitMs);
  }
}
