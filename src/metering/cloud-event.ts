/**
 * A usage record as a CloudEvent 1.0 in JSON
 * (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md). `source` and `id` together are
 * the same however often it is sent. `subject` is the account, by which OpenMeter tells customers apart.
 */
import * as z from "zod";
import { MeterRecordSchema } from "./record.ts";
import type { MeterRecord } from "./record.ts";

export const CLOUD_EVENT_TYPE = "application/cloudevents+json";

export const UsageEventSchema = z.object({
  specversion: z.literal("1.0"),
  id: z.string().min(1),
  source: z.string().min(1),
  type: z.enum(["edgeplane.usage.attempt", "edgeplane.usage.instance.interval"]),
  subject: z.string().min(1),
  time: z.iso.datetime(),
  datacontenttype: z.literal("application/json"),
  data: MeterRecordSchema,
});
export type UsageEvent = z.infer<typeof UsageEventSchema>;

export function usageEvent(record: MeterRecord): UsageEvent {
  return {
    specversion: "1.0",
    id: record.id,
    source: `urn:edgeplane:usage:${encodeURIComponent(record.account)}`,
    type: `edgeplane.usage.${record.kind}`,
    subject: record.account,
    time: new Date(record.at).toISOString(),
    datacontenttype: "application/json",
    data: record,
  };
}
