import { expect, test, vi } from "vitest";
import { createHandClock } from "../test/unit/hand-clock.ts";
import { isAway } from "./bundles/problems.ts";
import { Postponed, REST_MS } from "./runtime/postponed.ts";
import { Instance } from "./runtime/instance.ts";
import type { InstanceOptions } from "./runtime/instance.ts";
import { restWhileAway } from "./rest-while-away.ts";
import { TransportError } from "./transport/http-client.ts";
import { PATIENCE } from "../test/patience.ts";

/** A model, and what its runner did: the shortage that it saw at each look. */
function world() {
  const model: { shortage?: string | null } = {};
  const seen: (string | null | undefined)[] = [];
  let later = (): void => {};
  const clock = { nowMs: () => 0, after: (_ms: number, then: () => void) => ((later = then), () => {}) };
  const resting = () => ({ model, clock, runner: { pressureChanged: () => void seen.push(model.shortage) } });
  return { model, seen, resting, pass: () => later() };
}

test("a launch that the edge is away for is postponed: the model rests here, and is tried again", async () => {
  const { model, seen, resting, pass } = world();
  const away = new Error("the edge did not tell the secrets", { cause: new TransportError("closed") });
  await expect(restWhileAway(Promise.reject(away), isAway, resting)).rejects.toBeInstanceOf(Postponed);
  expect(seen).toEqual(["the edge did not tell the secrets"]);
  pass();
  expect([seen.at(-1), model.shortage]).toEqual([null, null]);
});

test("its instances may be started when its rest is over, and not before", async () => {
  const { resting } = world();
  const time = createHandClock();
  const away = restWhileAway(Promise.reject(new TransportError("closed")), () => true, resting);
  const options: Partial<InstanceOptions> = { clock: time.clock, launch: () => away, slots: 1 };
  const instance = new Instance(options as InstanceOptions);
  instance.start([], "cpu");
  await expect(away).rejects.toBeInstanceOf(Postponed);
  await vi.waitFor(() => expect(instance.state).toBe("broken"), PATIENCE);
  expect(instance.mayStart(time.now() + REST_MS / 2)).toBe(false);
  expect(instance.mayStart(time.now() + REST_MS)).toBe(true);
});

test("what is the model's own fault stays it, and what works is answered", async () => {
  const { seen, resting } = world();
  const own = new Error("its secrets are missing");
  await expect(restWhileAway(Promise.reject(own), isAway, resting)).rejects.toBe(own);
  expect(await restWhileAway(Promise.resolve(1), isAway, resting)).toBe(1);
  expect(seen).toEqual([]);
});
