/** Which CUDA the driver runs, where it doesn't say so at once. */
import { expect, test } from "vitest";
import { createHandClock } from "../../../test/unit/hand-clock.ts";
import { DeviceWatch } from "./device-watch.ts";
import { parseNvidiaSmi } from "./nvidia-smi.ts";

const { devices } = parseNvidiaSmi("0, GPU-0, NVIDIA L4, 23034, 1, 0, 30, 17, 0");

/** Why a model for CUDA 13.0 can't run after each of so many looks. `says`: what each question is answered with. */
async function look(times: number, says: readonly (string | null)[]) {
  let asks = 0;
  const watch = new DeviceWatch({
    clock: createHandClock().clock,
    visible: undefined,
    ask: async () => ({ devices, problem: null }),
    askDriver: async () => [],
    askVersion: async () => says[(asks += 1) - 1] ?? null,
  });
  const isRefused: boolean[] = [];
  for (let index = 0; index < times; index += 1) {
    await watch.look();
    isRefused.push(watch.refusalOf("13.0")?.includes("up to 12.4") ?? false);
  }
  return { isRefused, asks };
}

test("a driver that gave no answer at first is asked again, until it is known", async () => {
  expect(await look(4, [null, "12.4"])).toEqual({ isRefused: [false, true, true, true], asks: 2 });
});

test("a driver that never says it is asked a few times", async () => {
  expect((await look(20, [])).asks).toBe(5);
});
