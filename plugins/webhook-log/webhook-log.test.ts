import { describe, expect, it } from "vitest";
import { aVerdict, describePlugin } from "../kernel/conformance.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import type { Services } from "../kernel/services.ts";
import type { VerdictEvent } from "../kernel/verdict-events.ts";
import { webhookLog } from "./webhook-log.ts";

function servicesOf(note: (where: string, event: VerdictEvent) => void): Pick<Services, "audit" | "secrets"> {
  const sink = (where: string) => ({ note: (event: VerdictEvent) => note(where, event) });
  const get = (name: string) => {
    if (name === "PLUGIN_A") return "whsec_a";
    throw new Error("there is none");
  };
  return {
    audit: { topic: sink("topic"), receiver: (url, secret) => sink(`${url} ${secret}`) },
    secrets: { get },
  };
}

describePlugin(webhookLog, {
  services: servicesOf(() => {}),
  badConfigs: [
    ...[{ actions: [] }, { actions: ["everything"] }, { topic: false }, { url: "https://example.com/" }],
    ...[{ secret: "PLUGIN_A" }, { url: "ftp://example.com/", secret: "PLUGIN_A" }],
    ...[
      { url: "https://example.com/", secret: "ADMIN_KEY" },
      { url: "https://example.com/", secret: "PLUGIN_ABSENT" },
    ],
  ],
});

async function told(config: object, events: readonly VerdictEvent[]): Promise<string[]> {
  const noted: string[] = [];
  const services = servicesOf(
    (where, { action }) => void noted.push(where === "topic" ? action : `${action} ${where}`),
  );
  const { observers = [] } = await buildSnapshot(1, [webhookLog], { "webhook-log": { config } }, services);
  for (const event of events) for (const { onVerdict } of observers) onVerdict(event);
  return noted;
}

describe("webhook-log", () => {
  const events = (["note", "change", "shadow", "reject", "broken"] as const).map((action) => aVerdict({ action }));

  it("tells all verdicts, or those that it is set to tell", async () => {
    expect(await told({}, events)).toEqual(["note", "change", "shadow", "reject", "broken"]);
    expect(await told({ actions: ["reject", "broken"] }, events)).toEqual(["reject", "broken"]);
  });

  it("tells a receiver too, or alone", async () => {
    const receiver = { url: "https://example.com/", secret: "PLUGIN_A", actions: ["reject"] };
    expect(await told(receiver, events)).toEqual(["reject", "reject https://example.com/ whsec_a"]);
    expect(await told({ ...receiver, topic: false }, events)).toEqual(["reject https://example.com/ whsec_a"]);
  });

  it("is refused where it has nothing to tell with", async () => {
    await expect(buildSnapshot(1, [webhookLog], { "webhook-log": {} }, {})).rejects.toMatchObject({
      code: "plugin_invalid",
    });
  });
});
