/** What every intake that polls a log has: one loop, which rests until it is woken, and ends when it is stopped. */
import { createBackoff } from "../scheduling/backoff.ts";
import { totalRoom } from "./intake.ts";
import type { Intake, IntakeOptions } from "./intake.ts";
import { Wakeable } from "./wakeable.ts";

type State = "waiting" | "polling" | "full" | "backing off" | "stopped";

export abstract class PollingIntake<Options extends IntakeOptions = IntakeOptions> implements Intake {
  protected readonly options: Options;
  readonly #rest: Wakeable;
  readonly #backoff = createBackoff({ firstMs: 50, capMs: 1500 });
  #state: State;
  #done: Promise<void> = Promise.resolve();

  constructor(options: Options, first: State) {
    this.options = options;
    this.#state = first;
    this.#rest = new Wakeable(options.clock);
  }

  abstract work(): void;
  abstract channelChanged(): void;
  /** What the loop does until it is stopped, again and again. */
  protected abstract turn(): Promise<void>;
  /** Says that this pool reads no more. */
  protected abstract leave(): Promise<void>;

  get state(): State {
    return this.#state;
  }

  start(): void {
    this.#done = this.#loop();
  }

  roomChanged(): void {
    if (this.#state === "full" && totalRoom(this.options.rooms()) > 0) this.#rest.wake();
  }

  async stop(limitMs: number): Promise<void> {
    this.#state = "stopped";
    this.#rest.wake();
    const limit = new Promise<void>((resolve) => this.options.clock.after(limitMs, resolve));
    await Promise.race([this.leave().then(() => this.#done), limit]);
  }

  /** Ends a pause in one of these states. */
  protected wakeIn(...states: State[]): void {
    if (states.includes(this.#state)) this.#rest.wake();
  }

  /** Begins a poll. */
  protected polls(): void {
    this.#state = "polling";
  }

  /** The log answered. */
  protected worked(): void {
    this.#backoff.reset();
    this.options.onState(null);
  }

  /** The log failed: says so, and rests for longer each time. */
  protected async failed(error: unknown): Promise<void> {
    this.options.onState(error instanceof Error ? error.message : String(error));
    await this.pause("backing off", this.#backoff.nextMs());
  }

  protected async pause(state: State, limitMs: number): Promise<void> {
    if (this.#state === "stopped") return;
    this.#state = state;
    await this.#rest.pause(limitMs);
  }

  async #loop(): Promise<void> {
    while (this.#state !== "stopped") await this.turn();
  }
}
