/** What cold starts took: of a class from the order to the pool's hello, of a version from there until it served. */
import * as z from "zod";

const NEWS_SHARE = 0.3;
const MAX_KEPT = 500;

export const LearnedSchema = z.object({
  bootMs: z.record(z.string(), z.number()),
  setupMs: z.record(z.string(), z.number()),
});
export type Phases = z.output<typeof LearnedSchema>;

export class Learned {
  readonly #phases: Phases;
  readonly #save: (phases: Phases) => void;

  constructor(stored: Phases | null, save: (phases: Phases) => void) {
    this.#phases = stored ?? { bootMs: {}, setupMs: {} };
    this.#save = save;
  }

  booted(hardware: string, ms: number): void {
    this.#learn("bootMs", hardware, ms);
  }

  setUp(key: string, ms: number): void {
    this.#learn("setupMs", key, ms);
  }

  /** Versions that were seen to be set up. */
  versions(): string[] {
    return Object.keys(this.#phases.setupMs);
  }

  /** Null: none was seen. */
  bootMs(hardware: string): number | null {
    return this.#phases.bootMs[hardware] ?? null;
  }

  /** Of the version; else of the one of its model that was seen last. */
  setupMs(key: string): number | null {
    const own = this.#phases.setupMs[key];
    if (own !== undefined) return own;
    const [model = ""] = key.split(" ");
    const before = Object.entries(this.#phases.setupMs).findLast(([other]) => other.startsWith(`${model} `));
    return before?.[1] ?? null;
  }

  #learn(kind: keyof Phases, name: string, ms: number): void {
    // The clock was set back meanwhile.
    if (ms < 0) return;
    const { [name]: before, ...others } = this.#phases[kind];
    const kept = Object.entries(others).slice(-(MAX_KEPT - 1));
    this.#phases[kind] = {
      ...Object.fromEntries(kept),
      [name]: before === undefined ? ms : before + NEWS_SHARE * (ms - before),
    };
    this.#save(this.#phases);
  }
}
