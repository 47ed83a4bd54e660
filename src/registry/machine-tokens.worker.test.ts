/** Pool tokens of rented machines: the same whenever they are asked for, bound to one machine, and expiring. */
import { expect, it } from "vitest";
import { testEnv } from "../../test/worker/edge-harness.ts";
import { identifyPool, machineToken, renewMachineToken, revokePoolToken } from "./pool-tokens.ts";

const rights = { lanes: ["default"], owners: ["local"] };
const soon = () => Date.now() + 60_000;

it("is the same whenever it is asked for, and says which machine it is", async () => {
  const token = await machineToken(testEnv, "m000000000001", { ...rights, expiresAt: soon() });
  expect(await machineToken(testEnv, "m000000000001", { ...rights, expiresAt: soon() })).toBe(token);
  expect(await machineToken(testEnv, "m000000000002", { ...rights, expiresAt: soon() })).not.toBe(token);
  expect(await identifyPool(testEnv, token)).toMatchObject({ poolTokenId: "m000000000001", machine: "m000000000001" });
});

it("opens nothing once it has expired, unless it was renewed, or after it was revoked", async () => {
  const expired = await machineToken(testEnv, "m000000000003", { ...rights, expiresAt: Date.now() - 1 });
  expect(await identifyPool(testEnv, expired)).toBeNull();
  const renewed = await machineToken(testEnv, "m000000000004", { ...rights, expiresAt: Date.now() - 1 });
  await renewMachineToken(testEnv.DB, "m000000000004", soon());
  expect(await identifyPool(testEnv, renewed)).toMatchObject({ machine: "m000000000004" });
  const revoked = await machineToken(testEnv, "m000000000005", { ...rights, expiresAt: soon() });
  await revokePoolToken(testEnv.DB, "m000000000005");
  await renewMachineToken(testEnv.DB, "m000000000005", soon());
  expect(await identifyPool(testEnv, revoked)).toBeNull();
});
