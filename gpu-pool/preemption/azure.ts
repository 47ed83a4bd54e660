/**
 * Spot VMs of Azure, by Scheduled Events. Notices come 30 s ahead; those of other VMs of a scale set are listed, too.
 * Source: Azure documentation, "Scheduled Events for Linux VMs" and "Azure Instance Metadata Service".
 */
import * as z from "zod";
import { millisecondsTo } from "./notice.ts";
import type { Ask, Cloud, Notice } from "./notice.ts";

const NAME_PATH = "/metadata/instance/compute/name?api-version=2021-02-01&format=text";
const EVENTS_PATH = "/metadata/scheduledevents?api-version=2020-07-01";
const METADATA = { metadata: "true" };
const NOTICE_MS = 30_000;
/** A spot VM is preempted, one that its scale set gives up terminated. */
const ENDS: ReadonlySet<string> = new Set(["Preempt", "Terminate"]);
/** The first call turns the service on, which may take two minutes. */
const FIRST_MS = 130_000;

const EventsSchema = z.object({
  Events: z.array(
    z.object({ EventType: z.string(), Resources: z.array(z.string()), NotBefore: z.string().default("") }),
  ),
});

export function createAzure(ask: Ask): Cloud {
  let name = "";
  return {
    everyMs: 1000,
    async probe() {
      const { status, text } = await ask("GET", NAME_PATH, METADATA);
      name = text.trim();
      return status === 200 && name !== "";
    },
    async look(): Promise<Notice | null> {
      const answer = await ask("GET", EVENTS_PATH, METADATA, FIRST_MS);
      if (answer.status !== 200) throw new Error(`the metadata service answered ${answer.status}`);
      const { Events } = EventsSchema.parse(JSON.parse(answer.text));
      const end = Events.find(({ EventType, Resources }) => ENDS.has(EventType) && Resources.includes(name));
      if (end === undefined) return null;
      const withinMs = millisecondsTo(end.NotBefore, answer, NOTICE_MS);
      return { withinMs, why: `Azure will ${end.EventType.toLowerCase()} this VM` };
    },
  };
}
