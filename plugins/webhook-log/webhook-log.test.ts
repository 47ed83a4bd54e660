import { describe, expect, it } from "vitest";
import { aVerdict, describePlugin } from "../kernel/conformance.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import type { VerdictEvent } from "../kernel/verdict-events.ts";
import { webhookLog } from "./webhook-log.ts";

describePlugin(webhookLog, {
  services: { audit: { note: () => {} } },
  badConfigs: [{ actions: [] }, { actions: ["everything"] }],
});

async function told(config: object, events: readonly VerdictEvent[]): Promise<string[]> {
  const noted: VerdictEvent[] = [];
  const audit = { note: (event: VerdictEvent) => void noted.push(event) };
  const { observers = [] } = await buildSnapshot(1, [webhookLog], { "webhook-log": { config } }, { audit });
  for (const event of events) for (const { onVerdict } of observers) onVerdict(event);
  return noted.map(({ action }) => action);
}

describe("webhook-log", () => {
  const events = (["note", "change", "shadow", "reject", "broken"] as const).map((action) => aVerdict({ action }));

  it("tells all verdicts, or those that it is set to tell", async () => {
    expect(await told({}, events)).toEqual(["note", "change", "shadow", "reject", "broken"]);
    expect(await told({ actions: ["reject", "broken"] }, events)).toEqual(["reject", "broken"]);
  });

  it("is refused where it has nothing to tell with", async () => {
    await expect(buildSnapshot(1, [webhookLog], { "webhook-log": {} }, {})).rejects.toMatchObject({
      code: "plugin_invalid",
    });
  });
});
