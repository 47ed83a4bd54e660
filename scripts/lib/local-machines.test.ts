import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { namesWith } from "../../provider/names.ts";
import { local, LocalSchema } from "../../provider/providers/local.ts";
import { endLeftMachines } from "./local-machines.ts";
import { startTimeOf } from "./process-info.ts";
import { PATIENCE } from "../../test/patience.ts";

it("ends machines that a killed start has left, and is content where there never were any", async () => {
  const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-left-"));
  onTestFinished(() => rmSync(stateDir, { recursive: true, force: true }));
  await endLeftMachines(stateDir);
  expect(readdirSync(stateDir)).toEqual([]);
  const folder = join(stateDir, "provider");
  const names = namesWith("edgeplane-");
  const options = LocalSchema.parse({ hardware: { cpu: {} }, command: ["sleep", "60"] });
  const [machine, edgeUrl] = ["m0123456789ab", "http://127.0.0.1:1"];
  const order = { name: names.nameOf(machine), machine, offer: "cpu", hardware: "cpu", edgeUrl, poolToken: "t" };
  await local(options, folder, names).create({ ...order, lanes: [] }, new AbortController().signal);
  const noted = join(folder, "machines", order.name, "process");
  await vi.waitUntil(() => existsSync(noted), PATIENCE);
  const pid = Number(readFileSync(noted, "utf8").split("\n")[0]);
  expect(startTimeOf(pid)).not.toBeNull();
  await endLeftMachines(stateDir);
  expect(startTimeOf(pid)).toBeNull();
  expect(readdirSync(join(folder, "machines"))).toEqual([]);
});
