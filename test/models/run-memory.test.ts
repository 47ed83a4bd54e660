/** How often a model process measures the memory of its runs, on a clock that the test moves. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const SCRIPT = `
import json
import edgeplane_child.device_memory as memory

time = [0.0]


def use():
    time[0] += 0.0001
    return 10, 20


memory._host_use = use
runs = memory.RunMemory(lambda: time[0])
measured = []
for length in (1.0, 1.0, 0.001, 0.001, 1.0, 0.001, 0.001):
    time[0] += length
    measured.append(runs.over() is not None)
print(json.dumps(measured))
`;

test("a run that is long beside the measurement is measured; a short one only where no other is in its peak", () => {
  const { stdout, stderr } = spawnSync(process.env["EDGEPLANE_TEST_PYTHON"] ?? "python3", ["-c", SCRIPT], {
    encoding: "utf8",
    env: { ...process.env, CUDA_VISIBLE_DEVICES: "", PYTHONPATH: join(import.meta.dirname, "../../gpu-pool/python") },
  });
  expect(stderr).toBe("");
  // The fifth is due, but the peak may be that of one of the two before it: the sixth is measured in its place.
  expect(JSON.parse(stdout)).toEqual([true, true, false, false, false, true, false]);
});
