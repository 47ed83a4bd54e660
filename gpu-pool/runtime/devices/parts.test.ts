/** Parts of cards (MIG), which `nvidia-smi` doesn't name among the cards. */
import { expect, test } from "vitest";
import { createHandClock } from "../../../test/unit/hand-clock.ts";
import { DeviceWatch } from "./device-watch.ts";
import { parseNvidiaSmi } from "./nvidia-smi.ts";

const { devices } = parseNvidiaSmi("0, GPU-0, NVIDIA H100, 81559, 1, 0, 30, 17, 0");
const SILENT = { devices: [], problem: "nvidia-smi gave no answer within 10 s" };

function watchOf() {
  const host = { report: { devices, problem: null as string | null } };
  const { clock, pass } = createHandClock();
  const watch = new DeviceWatch({
    ...{ clock, visible: "MIG-1", askDriver: async () => [], askVersion: async () => "12.4" },
    ask: async () => host.report,
  });
  return { host, watch, pass };
}

test("a part is used while its cards are named, and awaited for a minute when none is named any more", async () => {
  const { host, watch, pass } = watchOf();
  await watch.look();
  expect([watch.refusal, watch.report.cuda.map(({ id, problem }) => [id, problem])]).toEqual([null, [["MIG-1", null]]]);
  host.report = SILENT;
  await watch.look();
  expect([watch.refusal, watch.report.cuda[0]?.problem]).toEqual([null, SILENT.problem]);
  pass(60_000);
  await watch.look();
  expect(watch.refusal).toBe(SILENT.problem);
  host.report = { devices, problem: null };
  await watch.look();
  expect(watch.refusal).toBeNull();
});

test("where nvidia-smi says nothing from the start, no part can be used", async () => {
  const { host, watch } = watchOf();
  host.report = SILENT;
  await watch.look();
  expect(watch.refusal).toBe(SILENT.problem);
});
