import { expect, it, onTestFinished, vi } from "vitest";
import type { Env } from "../env.ts";
import type { Due } from "./types.ts";
import { createErrands } from "./errands.ts";

it("gives up calls that are never answered: the others have their turn", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const called: string[] = [];
  const POOL = {
    getByName: (name: string) => ({
      work: async () => {
        called.push(name);
        if (name.startsWith("hung")) await new Promise<never>(() => {});
      },
    }),
  };
  const errands = createErrands(
    { POOL } as unknown as Env,
    () => "default",
    () => true,
  );
  const workFor = (...work: string[]): void => {
    errands.run({ pushes: new Map(), work, tell: [], fail: [] } as unknown as Due);
  };
  workFor(...Array.from({ length: 64 }, (_, n) => `hung-${n}`));
  expect(called).toHaveLength(64);
  workFor("well");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(called.slice(64)).toEqual(["well"]);
});
