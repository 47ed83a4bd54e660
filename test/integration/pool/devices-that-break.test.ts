/** A process that can use its device no more harms one prediction; so does one that hangs, or has gone bad. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { StatusSchema } from "../../../gpu-pool/telemetry/status.ts";
import { makeCards } from "./fake-gpus.ts";
import { hasBegun, roomOf, startFixture } from "./fixture.ts";
import type { Tracked } from "./fake-edge.ts";

const ended = (all: readonly Tracked[]) => (): boolean => all.every(({ terminal }) => terminal !== null);
const outputOf = ({ terminal }: Tracked): unknown => (terminal?.type === "succeeded" ? terminal.output : terminal);

test("an error of CUDA that sticks ends its process: the next prediction runs in a new one", async () => {
  using gpus = makeCards([1000]);
  await using fixture = await startFixture(["cuda"], [], { env: gpus.env });
  const { edge } = fixture;
  const run = async (act: string): Promise<Tracked> => {
    const tracked = edge.submit(await fixture.ref("cuda"), { do: act });
    await edge.until(ended([tracked]));
    return tracked;
  };
  const before = outputOf(await run("fine"));
  const broke = await run("break");
  expect(broke.terminal).toMatchObject({ type: "failed", kind: "crash", error: { code: "model_crashed" } });
  expect(JSON.stringify(broke.terminal)).toContain("CUDA error: an illegal memory access was encountered");
  const after = outputOf(await run("fine"));
  const status = await fetch(`http://127.0.0.1:${await fixture.pool.port()}/status`);
  const [instance] = StatusSchema.parse(await status.json()).models[0]?.instances ?? [];
  expect(instance?.lastDeath).toContain("illegal memory access");
  expect(after).toMatch(/^\d+$/);
  expect(after).not.toBe(before);
  // Words of an input that a model repeats are no error of the device.
  expect((await run("lie")).terminal).toMatchObject({ kind: "model", error: { code: "model_error" } });
  expect(outputOf(await run("fine"))).toBe(after);
});

test("a card on which every prediction breaks takes none, and says why; they run where it is well", async () => {
  using sick = makeCards([1000]);
  writeFileSync(join(sick.env["FAKE_CARDS"] ?? "", "sick"), "");
  await using fixture = await startFixture(["cuda"], [], { env: sick.env });
  const { edge } = fixture;
  const ref = await fixture.ref("cuda");
  const all = Array.from({ length: 3 }, () => edge.submit(ref, { do: "fine" }));
  await edge.until(ended(all), 30_000);
  expect(roomOf(edge, "cuda")?.room).toBe(0);
  expect(roomOf(edge, "cuda")?.problem).toContain("illegal memory access");
  // The pool's lines may be read here later than its events.
  await expect.poll(() => fixture.pool.output().match(/model process died/g)).toHaveLength(2);
  for (const { terminal } of all) expect(terminal).toMatchObject({ error: { code: "setup_failed" } });
});

test("a process that was well and then fails everything is replaced", async () => {
  await using fixture = await startFixture(["tired"]);
  const { edge } = fixture;
  const ref = await fixture.ref("tired");
  for (const act of ["fine", "raise", "raise"]) {
    const tracked = edge.submit(ref, { do: act });
    await edge.until(ended([tracked]));
  }
  await expect.poll(() => fixture.pool.output()).toContain("its last 2 predictions failed");
  const next = edge.submit(ref, { do: "fine" });
  await edge.until(ended([next]));
  expect(next.terminal?.type).toBe("succeeded");
});

test("a prediction that gives no sign of progress for as long as its model says is ended", async () => {
  await using fixture = await startFixture(["stuck"]);
  const { edge } = fixture;
  const ref = await fixture.ref("stuck");
  const talks = edge.submit(ref, { do: "talk 1.5" });
  await edge.until(ended([talks]));
  expect(talks.terminal?.type).toBe("succeeded");
  const stuck = edge.submit(ref, { do: "sleep 60" });
  await edge.until(ended([stuck]), 30_000);
  expect(stuck.terminal).toMatchObject({ error: { code: "model_unresponsive" } });
  expect(JSON.stringify(stuck.terminal)).toContain("no sign of progress for 1 s");
});

test("what waits behind a run of a synchronous model has not begun, whatever its concurrency says", async () => {
  await using fixture = await startFixture(["sync-slots"]);
  const { edge } = fixture;
  const ref = await fixture.ref("sync-slots");
  const warm = edge.submit(ref, { do: "warm" });
  await edge.until(ended([warm]));
  const all = ["sleep 1.2", "sleep 1.2", "sleep 1.2"].map((act) => edge.submit(ref, { do: act }));
  await edge.until(() => all.some(hasBegun));
  await edge.until(ended(all), 20_000);
  expect(all.map(({ terminal }) => terminal?.type)).toEqual(["succeeded", "succeeded", "succeeded"]);
});
