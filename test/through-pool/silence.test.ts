/** A model process that says nothing, in real time: dead, or asleep with its machine. */
import { expect, test } from "vitest";
import { hasBegun, modelPids, startFixture } from "../integration/pool/fixture.ts";

/** After so long without a sign of life a model process is killed. */
const SILENCE_MS = 2500;
const FLAGS = ["--silence-ms", String(SILENCE_MS)];
/** How long the machine sleeps: longer than a process may be silent. Nothing tells when; both just stand still. */
const SLEEP_MS = SILENCE_MS + 1000;
/** Longer than it sleeps, and than it takes to wake on a busy machine: the edge gives its claims to nobody else. */
const LEASE_MS = 120_000;

test("a process that gives no sign of life is killed", async () => {
  await using fixture = await startFixture(["single"], FLAGS);
  const { edge } = fixture;
  const ref = await fixture.ref("single");
  const tracked = edge.submit(ref, { do: "stop" });
  await edge.until(() => tracked.terminal !== null, 30_000);
  expect(tracked.terminal).toMatchObject({ type: "failed", kind: "crash", error: { code: "model_unresponsive" } });
  const next = edge.submit(ref, { do: "fine" });
  await edge.until(() => next.terminal?.type === "succeeded");
}, 60_000);

test("a pool that slept with its machine doesn't blame its processes for the silence", async () => {
  await using fixture = await startFixture(["single"], FLAGS, { leaseMs: LEASE_MS });
  const { edge, pool } = fixture;
  const tracked = edge.submit(await fixture.ref("single"), { do: "sleep 4" });
  await edge.until(() => hasBegun(tracked));
  const [pid = 0] = await modelPids(pool);
  for (const one of [pool.process.pid ?? 0, pid]) process.kill(one, "SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, SLEEP_MS));
  for (const one of [pool.process.pid ?? 0, pid]) process.kill(one, "SIGCONT");
  await edge.until(() => tracked.terminal !== null);
  expect(tracked.terminal?.type).toBe("succeeded");
  expect(tracked.starts).toBe(1);
  expect(await modelPids(pool)).toEqual([pid]);
});
