import { describe, expect, it } from "vitest";
import { describePlugin } from "../kernel/conformance.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import { contains, parseAddress, parseRange } from "./cidr.ts";
import { ipRules } from "./ip-rules.ts";

describePlugin(ipRules, {
  badConfigs: [{ allow: ["192.0.2.0/33"] }, { deny: ["localhost"] }, { deny: ["1.2.3"] }, { allow: "192.0.2.1" }],
});

async function verdictFor(config: unknown, clientIp: string | null): Promise<string> {
  const { hooks } = await buildSnapshot(1, [ipRules], { "ip-rules": { config } }, {});
  const call = {
    requestId: "r",
    method: "GET",
    path: "/",
    clientIp,
    header: () => undefined,
    headers: () => ({}),
    principal: null,
  };
  return (await hooks.authenticate[0]?.run(call))?.verdict ?? "none";
}

describe("addresses", () => {
  it.each([
    ["192.0.2.0/24", "192.0.2.255", true],
    ["192.0.2.0/24", "192.0.3.0", false],
    ["192.0.2.7", "192.0.2.7", true],
    ["192.0.2.0/23", "192.0.3.1", true],
    ["0.0.0.0/0", "8.8.8.8", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["::/0", "2001:db8::1", true],
    ["2001:db8::/33", "2001:db8:7fff::1", true],
    ["2001:db8::/33", "2001:db8:8000::1", false],
    ["192.0.2.0/24", "::ffff:192.0.2.9", true],
    ["::1", "0:0:0:0:0:0:0:1", true],
  ])("%s contains %s: %s", (range, address, expected) => {
    const [parsedRange, parsedAddress] = [parseRange(range), parseAddress(address)];
    expect(parsedRange !== null && parsedAddress !== null && contains(parsedRange, parsedAddress)).toBe(expected);
  });

  it.each([
    "",
    "1.2.3.4.5",
    "01.2.3.4",
    "256.1.1.1",
    "1::2::3",
    ":::",
    "1:2:3:4:5:6:7:8:9",
    "fe80::1%eth0",
    "g::1",
    "1:2",
  ])("%s is none", (text) => expect(parseAddress(text)).toBeNull());
});

describe("ip-rules", () => {
  it("refuses what is denied, also where it is allowed", async () => {
    const config = { allow: ["192.0.2.0/24"], deny: ["192.0.2.66"] };
    expect(await verdictFor(config, "192.0.2.1")).toBe("continue");
    expect(await verdictFor(config, "192.0.2.66")).toBe("reject");
    expect(await verdictFor(config, "198.51.100.1")).toBe("reject");
  });

  it("lets an unknown address in only where nothing must be allowed", async () => {
    expect(await verdictFor({ deny: ["192.0.2.66"] }, null)).toBe("continue");
    expect(await verdictFor({ allow: ["192.0.2.0/24"] }, null)).toBe("reject");
    expect(await verdictFor({ allow: [] }, "192.0.2.1")).toBe("reject");
  });
});
