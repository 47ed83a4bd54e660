/** A quick slice of the fuzzing; `node test/fuzz/main.ts` is all of it. */
import { describe, expect, it } from "vitest";
import { PROPERTY_SEED } from "../property-seed.ts";
import { decoders, inputsOf } from "./run.ts";

const INPUTS = 20_000;

describe(`what strangers send (PROPERTY_SEED=${PROPERTY_SEED})`, () => {
  it.each(decoders.map((one) => [one.name, one] as const))("%s: is read or refused, in time", async (_name, one) => {
    let inputs = 0;
    await one.run(inputsOf(one, INPUTS), PROPERTY_SEED, () => (inputs += 1));
    expect(inputs).toBeGreaterThan(0);
  });
});
