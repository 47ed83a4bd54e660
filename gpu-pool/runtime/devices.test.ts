import { expect, test } from "vitest";
import { parseNvidiaSmi, visibleOf } from "./devices.ts";

const text =
  "0, GPU-1a2b, NVIDIA H200, 143771\n1, GPU-1c3d, NVIDIA A10G, [N/A]\n2, GPU-2e4f, NVIDIA L4, 23034\nNo devices were found\n\n";
const found = parseNvidiaSmi(text);
const visible = (list: string | undefined) => visibleOf(found, list).map(({ id }) => id);

test("reads what nvidia-smi says, and passes over what it does not understand", () => {
  expect(found.map(({ device }) => device)).toEqual([
    { id: "0", kind: "cuda", name: "NVIDIA H200", memoryBytes: 143_771 * 1024 * 1024 },
    { id: "1", kind: "cuda", name: "NVIDIA A10G", memoryBytes: null },
    { id: "2", kind: "cuda", name: "NVIDIA L4", memoryBytes: 23_034 * 1024 * 1024 },
  ]);
});

test("a pool that is given some of the devices uses no others", () => {
  expect(visible(undefined)).toEqual(["0", "1", "2"]);
  expect(visible("2,0")).toEqual(["2", "0"]);
  expect(visible(" GPU-1c , 0 ")).toEqual(["1", "0"]);
  expect(visible("")).toEqual([]);
  expect(visible("-1")).toEqual([]);
  // As CUDA has it: what comes behind an unknown one is not visible, and an ambiguous one is unknown.
  expect(visible("1,7,0")).toEqual(["1"]);
  expect(visible("GPU-1")).toEqual([]);
  expect(visible("MIG-5f6a")).toEqual(["MIG-5f6a"]);
});
