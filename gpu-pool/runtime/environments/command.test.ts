import { afterEach, expect, test, vi } from "vitest";
import { runCommand } from "./command.ts";

afterEach(() => vi.unstubAllEnvs());

test("what installs a model's packages sees none of the pool's secrets", async () => {
  for (const name of ["EDGEPLANE_POOL_TOKEN", "EDGEPLANE_LOG_PASSWORD", "EDGEPLANE_KV_TOKEN"])
    vi.stubEnv(name, "secret");
  const { code, stdout } = await runCommand(process.execPath, ["-p", "JSON.stringify(process.env)"], {
    env: { GIVEN: "yes" },
  });
  expect(code).toBe(0);
  expect(stdout).toContain('"GIVEN":"yes"');
  expect(stdout).not.toContain("secret");
});
