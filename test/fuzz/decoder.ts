/** One decoder under fuzz: what it is fed with, and how it is judged. */
import fc from "fast-check";
import { EdgeplaneError } from "../../src/contract/errors.ts";

export type Decoder = {
  name: string;
  /** Its part of the inputs, in relation to the others'. */
  share: number;
  /** Feeds it with `inputs` inputs; rejects with the smallest that it can't bear. `onInput` is called before each. */
  run(inputs: number, seed: number, onInput: () => void): Promise<void>;
};

/** What one input may take of this thread's processor time: other programs run on the machine too. */
const MAX_CPU_MS = 200;

/**
 * `decode` answers, or throws an error that may be shown and is the caller's fault. Whatever else it throws is a
 * finding; so is slowness.
 */
export function decoder<T>(
  name: string,
  share: number,
  inputs: fc.Arbitrary<T>,
  decode: (input: T) => unknown,
): Decoder {
  const judge = async (input: T): Promise<void> => {
    const before = process.threadCpuUsage();
    await tamely(() => decode(input));
    const { user, system } = process.threadCpuUsage(before);
    const cpuMs = (user + system) / 1000;
    if (cpuMs > MAX_CPU_MS) throw new Error(`took ${Math.round(cpuMs)} ms`);
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
