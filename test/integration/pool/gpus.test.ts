/** A host whose GPUs can't be used runs no GPU model on its CPU, and says why. */
import { expect, test } from "vitest";
import { makeFakeGpus } from "./fake-gpus.ts";
import { roomOf, startFixture } from "./fixture.ts";

test("a GPU model is refused where nvidia-smi fails, with the reason, and never runs on the CPU instead", async () => {
  const gpus = makeFakeGpus("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18");
  await using fixture = await startFixture(["gpu", "either", "single"], [], { env: gpus.env });
  const { edge, pool } = fixture;
  await edge.until(() => roomOf(edge, "gpu") !== undefined);
  expect(roomOf(edge, "gpu")?.room).toBe(0);
  expect(roomOf(edge, "gpu")?.problem).toContain("version mismatch");
  expect(roomOf(edge, "single")).toMatchObject({ problem: null });
  const refused = edge.submit(await fixture.ref("gpu"), { do: "fine" });
  const either = edge.submit(await fixture.ref("either"), { do: "fine" });
  await edge.until(() => refused.terminal !== null && either.terminal !== null);
  expect(refused.terminal).toMatchObject({ type: "failed", error: { code: "setup_failed" } });
  expect(JSON.stringify(refused.terminal)).toContain("nvidia-smi failed (exit code 18)");
  expect(refused.starts).toBe(0);
  expect(either.terminal).toMatchObject({ type: "succeeded" });
  const status = await (await fetch(`http://127.0.0.1:${await pool.port()}/status`)).text();
  expect(status).toMatch(/^{"devices":\[\],"problem":"nvidia-smi failed [^"]*version mismatch"/);
  expect(status).toContain('"model":"local/gpu","state":"stopped"');
  gpus.remove();
});
