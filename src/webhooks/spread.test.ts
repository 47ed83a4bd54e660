import { expect, it } from "vitest";
import type { Outcome } from "./attempt.ts";
import { createSpread, REQUESTS_PER_OBJECT } from "./spread.ts";

const delivered: Outcome = {
  result: "delivered",
  status: 200,
  error: null,
  response: "",
  retryAfterMs: null,
  hostFailed: false,
};
const message = { webhookId: "w", accountId: "a", url: "https://example.com", body: "{}" };

/** A spread whose requests end when told; who has how many. */
function open(helper: (number: number) => Promise<Outcome>) {
  const counts: number[] = [];
  const begun = (number: number, answer: Promise<Outcome>) => {
    counts[number] = (counts[number] ?? 0) + 1;
    return answer;
  };
  const ends: (() => void)[] = [];
  const later = () => new Promise<Outcome>((resolve) => ends.push(() => resolve(delivered)));
  const spread = createSpread(
    () => begun(0, later()),
    (number) => begun(number, helper(number)),
  );
  return { spread, counts, ends, later };
}

it("fills the sender itself first, then as many helpers as it takes, and goes back to it", async () => {
  const world = open(() => world.later());
  const all = Array.from({ length: 12 }, () => world.spread(message));
  expect(world.counts).toEqual([5, 5, 2]);
  for (const end of world.ends) end();
  await Promise.all(all);
  void world.spread(message);
  expect(world.counts).toEqual([6, 5, 2]);
});

it("costs a message no try that a helper can't be asked", async () => {
  const world = open(() => Promise.reject(new Error("it is being reset")));
  for (let index = 0; index < REQUESTS_PER_OBJECT; index += 1) void world.spread(message);
  expect(await world.spread(message)).toMatchObject({ result: "unsent", hostFailed: false });
});
