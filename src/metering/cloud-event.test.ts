import { expect, it } from "vitest";
import { UsageEventSchema, usageEvent } from "./cloud-event.ts";
import type { AttemptRecord, IntervalRecord } from "./record.ts";

const attempt: AttemptRecord = {
  ...{ v: 2, kind: "attempt", id: "p.1", at: 1_700_000_000_000, account: "acme x/ü", deployment: null, device: "cpu" },
  ...{
    gpuUs: 10,
    flags: [],
    prediction: "p",
    attempt: 1,
    key: null,
    model: "o/n",
    version: "v",
    queuedMs: 0,
    runMs: 1,
  },
  ...{ units: {}, outcome: "succeeded", cached: false, billed: true, costNano: 0, currency: null, price: null },
};
const interval: IntervalRecord = {
  ...{ v: 2, kind: "instance.interval", id: "s.1", at: 1, account: "overhead", deployment: null, device: "cpu" },
  ...{ gpuUs: 10, flags: [], instance: "i", model: null, version: null, phase: "unused", fromMs: 0, toMs: 1 },
};

/** https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#context-attributes */
it.each([attempt, interval])("is an event by the rules of CloudEvents 1.0: $kind", (record) => {
  const event = usageEvent(record);
  const { data, ...attributes } = event;
  expect(data).toEqual(record);
  for (const [name, value] of Object.entries(attributes)) {
    expect(name).toMatch(/^[a-z0-9]{1,20}$/);
    expect(value).not.toBe("");
  }
  expect(event.specversion).toBe("1.0");
  expect(URL.canParse(event.source)).toBe(true);
  expect(event.source).toMatch(/^[\u0021-\u007E]+$/);
  expect(new Date(event.time).getTime()).toBe(record.at);
  expect(UsageEventSchema.parse(JSON.parse(JSON.stringify(event)))).toEqual(event);
});

it("has the same source and id however often it is made", () => {
  const [first, again] = [usageEvent(attempt), usageEvent(structuredClone(attempt))];
  expect([again.source, again.id]).toEqual([first.source, first.id]);
  expect(usageEvent({ ...attempt, account: "other" }).source).not.toBe(first.source);
});
