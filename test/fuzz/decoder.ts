/** One decoder under fuzz: what it is fed with, and how it is judged. */
import fc from "fast-check";
import { EdgeplaneError } from "../../src/contract/errors.ts";
import { threadCpuMs } from "../unit/thread-time.ts";

export type Decoder = {
  name: string;
  /** Its part of the inputs, in relation to the others'. */
  share: number;
  /** Feeds it with `inputs` inputs; rejects with the smallest that it can't bear. `onInput` is called before each. */
  run(inputs: number, seed: number, onInput: () => void): Promise<void>;
};

/** What one input may take of this thread's processor time: other programs run on the machine too. */
export const MAX_CPU_MS = 200;
/** Looks at an input that took longer: collecting garbage and compiling take their time, but of one look only. */
const LOOKS = 3;

/**
 * `decode` answers, or throws an error that may be shown and is the caller's fault. Whatever else it throws is a
 * finding; so is slowness.
 */
export function decoder<T>(
  name: string,
  share: number,
  inputs: fc.Arbitrary<T>,
  decode: (input: T) => unknown,
  cpuMs: () => number = threadCpuMs,
): Decoder {
  const judge = async (input: T): Promise<void> => {
    let leastMs = Infinity;
    for (let looks = 0; looks < LOOKS && leastMs > MAX_CPU_MS; looks += 1) {
      const beganAt = cpuMs();
      await tamely(() => decode(input));
      leastMs = Math.min(leastMs, cpuMs() - beganAt);
    }
    if (leastMs > MAX_CPU_MS) throw new Error(`took ${Math.round(leastMs)} ms`);
  };
  return {
    name,
    share,
    async run(numRuns, seed, onInput) {
      const property = fc.asyncProperty(inputs, async (input) => {
        onInput();
        await judge(input);
      });
      await fc.assert(property, { numRuns, seed });
    },
  };
}

async function tamely(run: () => unknown): Promise<void> {
  try {
    await run();
  } catch (thrown) {
    if (thrown instanceof EdgeplaneError && thrown.status >= 400 && thrown.status < 500) return;
    throw thrown;
  }
}

/** Throws unless `holds`: a property that a decoder must keep for whatever it is fed. */
export function demand(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}
