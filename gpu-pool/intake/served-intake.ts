/**
 * Intake from topics that the lane itself serves: it answers a poll at once with what this pool has room for, granted,
 * and the control channel says when there is work. So nothing is polled without a reason.
 *
 *   waiting ── told of work, or the channel is down ──▶ polling
 *   polling ── nothing came ──▶ waiting;  jobs came, room left ──▶ polling
 *   polling ── no room ──▶ full ── room again ──▶ polling
 *   polling ── failed ──▶ backing off ──▶ polling (at once when the channel opens)
 *   any ── stop() ──▶ stopped
 */
import type { ModelRoom } from "../../src/contract/channel.ts";
import { totalRoom } from "./intake.ts";
import type { IntakeOptions } from "./intake.ts";
import { PollingIntake } from "./polling-intake.ts";

/** While the channel is down nobody tells of work. Half of it is random, so that pools don't ask as one. */
const UNTOLD_POLL_MS = 2000;

const MAX_MODELS = 100;

export type ServedIntakeOptions = IntakeOptions & { random?: () => number };

export class ServedIntake extends PollingIntake<ServedIntakeOptions> {
  /** There may be something that this pool could take. */
  #isDue = false;

  constructor(options: ServedIntakeOptions) {
    super(options, "waiting");
  }

  override work(): void {
    this.#isDue = true;
    this.wakeIn("waiting");
  }

  override channelChanged(): void {
    this.wakeIn("waiting", "backing off");
  }

  protected override async turn(): Promise<void> {
    const { channelOpen, rooms, random = Math.random } = this.options;
    if (!this.#isDue && channelOpen()) return this.pause("waiting", Infinity);
    if (totalRoom(rooms()) === 0) return this.pause("full", Infinity);
    await this.#pollOnce();
    const isBlind = !this.#isDue && !channelOpen();
    if (isBlind) await this.pause("waiting", UNTOLD_POLL_MS * (0.5 + random() / 2));
  }

  /** The lane learns it from the session. */
  protected override async leave(): Promise<void> {}

  async #pollOnce(): Promise<void> {
    const { source, claiming, onPoll } = this.options;
    this.polls();
    this.#isDue = false;
    try {
      const rooms = this.#roomsToSay();
      const polled = claiming.track(source.poll({ rooms, waitMs: 0 }));
      const answered = onPoll(rooms);
      const { jobs } = await polled.finally(answered);
      this.worked();
      if (jobs.length === 0) return;
      this.#isDue = true;
      await claiming.settle(jobs);
    } catch (error) {
      this.#isDue = true;
      await this.failed(error);
    }
  }

  /** Beyond so many models the header would be too long; what waits for the others comes over the control channel. */
  #roomsToSay(): ModelRoom[] {
    return this.options
      .rooms()
      .filter(({ room }) => room > 0)
      .slice(0, MAX_MODELS);
  }
}
