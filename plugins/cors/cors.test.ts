import { describe, expect, it } from "vitest";
import { describePlugin } from "../kernel/conformance.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import { cors } from "./cors.ts";

describePlugin(cors, {
  badConfigs: [
    {},
    { origins: ["example.com"] },
    { origins: ["https://example.com/"] },
    { origins: ["https://a.*.com"] },
  ],
});

async function judge(origin: string | undefined) {
  const config = { origins: ["https://app.example.com", "https://*.example.org", "http://localhost:3000"] };
  const { hooks } = await buildSnapshot(1, [cors], { cors: { config } }, {});
  const header = (name: string) => (name === "origin" ? origin : undefined);
  const call = {
    requestId: "r",
    method: "GET",
    path: "/",
    clientIp: null,
    header,
    headers: () => ({}),
    principal: null,
  };
  return hooks.authenticate[0]?.run(call);
}

describe("cors", () => {
  it.each(["https://app.example.com", "https://a.example.org", "http://localhost:3000"])(
    "lets %s in",
    async (origin) => {
      expect(await judge(origin)).toMatchObject({ headers: { "access-control-allow-origin": origin } });
    },
  );

  it.each([
    "https://example.org",
    "https://a.b.example.org",
    "https://evil.com/.example.org",
    "https://evilexample.org",
    "http://app.example.com",
    "https://app.example.com:8443",
    "null",
    "",
  ])("refuses %j", async (origin) => {
    expect(await judge(origin)).toMatchObject({ verdict: "reject", code: "rejected_by_policy" });
  });

  it("has nothing to say of calls that come from no page", async () => {
    expect(await judge(undefined)).toEqual({ verdict: "continue" });
  });
});
