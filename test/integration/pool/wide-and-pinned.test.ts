/** Models that span cards of different sizes, and models beside one that never leaves its card, on a real pool. */
import { expect, test } from "vitest";
import type { Tracked } from "./fake-edge.ts";
import { makeCards } from "./fake-gpus.ts";
import { startFixture } from "./fixture.ts";

const outputOf = ({ terminal }: Tracked): string =>
  terminal?.type === "succeeded" ? String(terminal.output) : JSON.stringify(terminal);

test("a model that spans two cards finds those that hold it, one that is told its card stays there", async () => {
  using gpus = makeCards([1000, 2000, 400]);
  await using fixture = await startFixture(["gpu-wide", "gpu-small", "gpu-told", "gpu-pinned"], [], { env: gpus.env });
  const { edge } = fixture;
  const wide = edge.submit(await fixture.ref("gpu-wide"), {});
  const small = edge.submit(await fixture.ref("gpu-small"), {});
  const told = edge.submit(await fixture.ref("gpu-told"), {});
  await edge.until(() => [wide, small, told].every(({ terminal }) => terminal !== null), 60_000);
  expect(outputOf(wide).split(",").toSorted()).toEqual(["0", "1"]);
  expect(outputOf(small)).toMatch(/^[012]$/);
  expect(outputOf(told)).toBe("1");
  expect(fixture.pool.output()).not.toContain("could not be set up");
});

test("beside a pinned model runs what fits in the rest of the card, and what doesn't is told so", async () => {
  using gpus = makeCards([1000]);
  await using fixture = await startFixture(["gpu-pinned", "gpu-small", "gpu-x"], [], { env: gpus.env });
  const { edge } = fixture;
  const pinned = edge.submit(await fixture.ref("gpu-pinned"), {});
  await edge.until(() => pinned.terminal !== null, 60_000);
  const small = edge.submit(await fixture.ref("gpu-small"), {});
  const large = edge.submit(await fixture.ref("gpu-x"), {});
  await edge.until(() => small.terminal !== null && large.terminal !== null, 60_000);
  expect([pinned, small].map(outputOf)).toEqual(["0", "0"]);
  expect(outputOf(large)).toContain("CUDA out of memory");
});
