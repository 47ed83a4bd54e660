import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { askDriver } from "./driver-cards.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "edgeplane-driver-"));
  mkdirSync(join(root, "dev"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** The file that tells of a card, which this process may open unless it `isHidden`. */
function informationOf(minor: number, isHidden = false): string {
  const folder = join(root, `proc/driver/nvidia/gpus/0000:0${minor}:00.0`);
  mkdirSync(folder, { recursive: true });
  if (!isHidden) writeFileSync(join(root, `dev/nvidia${minor}`), "");
  return join(folder, "information");
}

const inDriver = (uuid: string, minor: number, more = ""): string =>
  `Model: \t\t NVIDIA L4\nIRQ:   \t\t 18\nGPU UUID: \t ${uuid}\nBus Location: \t 0000:0${minor}:00.0\nDevice Minor: \t ${minor}\n${more}`;

test("the driver tells, in the order of the bus, of cards that may be opened, have started and are not excluded", async () => {
  expect(await askDriver(0, root)).toEqual([]);
  writeFileSync(informationOf(0), inDriver("GPU-1b", 0));
  writeFileSync(informationOf(1), inDriver("GPU-0a", 1));
  writeFileSync(informationOf(2), inDriver("GPU-????????-????", 2));
  writeFileSync(informationOf(3), inDriver("GPU-3d", 3, "GPU Excluded: \t Yes\n"));
  writeFileSync(informationOf(4, true), inDriver("GPU-4e", 4));
  expect(await askDriver(1, root)).toEqual([
    { uuid: "GPU-1b", name: "NVIDIA L4" },
    { uuid: "GPU-0a", name: "NVIDIA L4" },
  ]);
});

test("a driver that gives no answer is waited for no longer than its limit, and not asked where all are named", async () => {
  for (const minor of [0, 1]) execFileSync("mkfifo", [informationOf(minor)]);
  expect(await askDriver(1, root, 50)).toEqual([]);
  expect(await askDriver(2, root, 2 ** 31 - 1)).toEqual([]);
});
