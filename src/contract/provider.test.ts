import { describe, expect, it } from "vitest";
import { HardwareSchema, machineName, machineOf, SyncReplySchema, SyncRequestSchema } from "./provider.ts";

const machine = "m0123456789ab";

describe("a machine's name", () => {
  it("carries its id", () => {
    expect(machineOf(machineName(machine))).toBe(machine);
  });

  it.each(["edgeplane-", "edgeplane-web", `edgeplane-${machine}-2`, `my-${machine}`, machine])(
    "is none of this product's: %s",
    (name) => {
      expect(machineOf(name)).toBeNull();
    },
  );
});

describe("a sync", () => {
  it("needs no more than what there is", () => {
    const request = { protocol: 1, provider: "local", kind: "local", offers: [], machines: [], complete: true };
    expect(SyncRequestSchema.parse(request)).toMatchObject({ refused: [], orphansReturned: 0, duplicatesReturned: 0 });
  });

  it("leaves out what is new to its reader", () => {
    const reply = { known: "k", nowMs: 1, desired: [], checkAgainMs: 1000 };
    expect(SyncReplySchema.parse({ ...reply, later: true })).toStrictEqual(reply);
  });

  it("names hardware in lower case", () => {
    expect(HardwareSchema.safeParse("nvidia-a100-80gb").success).toBe(true);
    expect(HardwareSchema.safeParse("NVIDIA A100").success).toBe(false);
  });
});
