import { expect, it } from "vitest";
import type { Progress } from "./progress.ts";
import { createRecent } from "./recent.ts";

function progress(id: string, lastFrame: number): Progress {
  // Only what the memory looks at.
  return { row: { id, lastFrame, state: "running" }, frames: [] } as unknown as Progress;
}

it("keeps hundreds that produce output, beside the last ones of all others", () => {
  const recent = createRecent();
  for (let index = 0; index < 200; index += 1) recent.keep(progress(`streams-${index}`, 1));
  for (let index = 0; index < 200; index += 1) recent.keep(progress(`brief-${index}`, 0));
  const kept = (kind: string) =>
    Array.from({ length: 200 }, (_, index) => recent.get(`${kind}-${index}`)).filter((one) => one !== undefined).length;
  expect(kept("streams")).toBe(200);
  expect(kept("brief")).toBe(64);
  recent.forget("streams-0");
  expect(kept("streams")).toBe(199);
});
