import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { checkDevice } from "../../gpu-pool/runtime/devices/device-check.ts";
import { pythonCache } from "../python-cache.ts";

const program = fileURLToPath(new URL("device-check.py", import.meta.url));
const PYTHONPATH = fileURLToPath(new URL("../../gpu-pool/python", import.meta.url));

test("the check of a device tells a sick one from one that nobody can judge", () => {
  const { stdout, stderr } = spawnSync(process.env["EDGEPLANE_PYTHON"] ?? "python3", [program], {
    env: { ...process.env, ...pythonCache, PYTHONPATH },
    encoding: "utf8",
  });
  expect([stdout, stderr]).toEqual(["checked\n", ""]);
});

test("a host with a GPU that computes passes, and one without a driver can't be judged", async () => {
  expect(["well", "unknown"]).toContain((await checkDevice("0", null)).state);
});
