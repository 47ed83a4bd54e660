/**
 * A list of cards that ends in the middle: what fits only on a card that is missing waits for it, and fails for none.
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { StatusSchema } from "../../../gpu-pool/telemetry/status.ts";
import { makeCards } from "./fake-gpus.ts";
import { roomOf, startFixture } from "./fixture.ts";

test("a model that fits only on a card that is missing takes nothing, and runs there once it is named again", async () => {
  using gpus = makeCards([1000, 6000]);
  await using fixture = await startFixture(["gpu-a", "gpu-huge"], [], { env: gpus.env });
  const { edge, pool } = fixture;
  await edge.until(() => roomOf(edge, "gpu-huge") !== undefined);
  expect(roomOf(edge, "gpu-huge")).toMatchObject({ problem: null });
  const cut = join(gpus.env["FAKE_CARDS"] ?? "", "1.cut");
  writeFileSync(cut, "");
  // What is loaded makes the pool look at its cards.
  const small = edge.submit(await fixture.ref("gpu-a"), {});
  await edge.until(() => small.terminal !== null && roomOf(edge, "gpu-huge")?.room === 0);
  expect(small.terminal).toMatchObject({ type: "succeeded" });
  const paused = roomOf(edge, "gpu-huge");
  expect(paused).toMatchObject({ problem: null });
  expect(paused?.pausedBy).toContain("GPU 1 is missing");
  await edge.until(() => edge.hellos.at(-1)?.devices[1]?.problem !== undefined);
  const status = StatusSchema.parse(await (await fetch(`http://127.0.0.1:${await pool.port()}/status`)).json());
  expect(status.devices.map(({ id, problem }) => [id, problem !== null])).toEqual([
    ["0", false],
    ["1", true],
  ]);
  const huge = edge.submit(await fixture.ref("gpu-huge"), {});
  rmSync(cut);
  await edge.until(() => huge.terminal !== null, 30_000);
  expect(huge.terminal).toMatchObject({ type: "succeeded", output: "1" });
  expect(huge.events.map(({ type }) => type)).not.toContain("released");
  await edge.until(() => edge.hellos.at(-1)?.devices.every(({ problem }) => problem === undefined) === true);
});
