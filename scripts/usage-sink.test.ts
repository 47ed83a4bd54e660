import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";

const env = { PATH: process.env["PATH"] ?? "", KAFKA_URL: "http://127.0.0.1:9", KAFKA_USERNAME: "u" };
function run(args: string[], more: Record<string, string> = {}) {
  const script = join(import.meta.dirname, "usage-sink.ts");
  return spawnSync(process.execPath, [script, ...args], { encoding: "utf8", env: { ...env, ...more } });
}

it("tells how it is used, and what is wrong", () => {
  expect(run(["--help"])).toMatchObject({ status: 0, stdout: expect.stringContaining("--dead-letters") as string });
  expect(run(["--to", "openmeter"])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("KAFKA_PASSWORD") as string,
  });
  const password = { KAFKA_PASSWORD: "p" };
  expect(run(["--to", "lago"], password).stderr).toContain("--to takes openmeter or stripe");
  expect(run(["--to", "stripe"], { ...password, STRIPE_KEY: "sk" }).stderr).toContain("needs --meter");
});
