/** A quick slice of the fuzzing; `node test/fuzz/main.ts` is all of it. */
import { describe, expect, it } from "vitest";
import { decoders, inputsOf } from "./run.ts";

const INPUTS = 20_000;
const seed = Number(process.env["FUZZ_SEED"] ?? Date.now() % 2 ** 31);

describe(`what strangers send (FUZZ_SEED=${seed})`, () => {
  it.each(decoders.map((one) => [one.name, one] as const))("%s: is read or refused, in time", async (_name, one) => {
    let inputs = 0;
    await one.run(inputsOf(one, INPUTS), seed, () => (inputs += 1));
    expect(inputs).toBeGreaterThan(0);
  });
});
