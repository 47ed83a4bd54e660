import { describe, expect, it } from "vitest";
import { createKeylessTurns, keyedPartition, KEYLESS_RUN, murmur2 } from "./partitioner.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("murmur2", () => {
  /** From Kafka's own UtilsTest.testMurmur2. */
  it.each([
    ["21", -973932308],
    ["foobar", -790332482],
    ["a-little-bit-long-string", -985981536],
    ["a-little-bit-longer-string", -1486304829],
    ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
  ])("hashes %s as Kafka does", (text, hash) => {
    expect(murmur2(bytes(text))).toBe(hash);
  });
});

describe("partitions", () => {
  it("of a key never change", () => {
    expect(keyedPartition("user-1", 12)).toBe(keyedPartition("user-1", 12));
    expect(keyedPartition("user-1", 1)).toBe(0);
  });

  it("of keyless records take turns, some records at a time", () => {
    const turn = createKeylessTurns(() => 0);
    const partitions = Array.from({ length: KEYLESS_RUN * 3 }, () => turn("t", 3));
    expect(new Set(partitions)).toEqual(new Set([0, 1, 2]));
    expect(new Set(partitions.slice(0, KEYLESS_RUN)).size).toBe(1);
  });
});
