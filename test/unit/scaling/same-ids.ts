/** The same ids of machines in each run of a test, and so the same order among equals. */
import { afterEach, beforeEach, vi } from "vitest";

export function makeSameIds(): void {
  beforeEach(() => {
    let n = 0;
    vi.spyOn(crypto, "getRandomValues").mockImplementation((array) => {
      n += 1;
      if (array instanceof Uint8Array)
        for (const index of array.keys()) array[index] = Math.floor(n / 32 ** index) % 32;
      return array;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });
}
