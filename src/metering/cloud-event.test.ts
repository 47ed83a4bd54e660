import { CloudEvent, HTTP, Kafka } from "cloudevents";
import type { KafkaMessage } from "cloudevents";
import { describe, expect, it } from "vitest";
import { openMeter } from "../../scripts/lib/usage-sink/targets.ts";
import { UsageEventSchema, usageEvent } from "./cloud-event.ts";
import { logRecordOf } from "./publish-usage.ts";
import type { AttemptRecord, IntervalRecord, MeterRecord } from "./record.ts";

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

describe("the SDK of CloudEvents", () => {
  const told = (record: MeterRecord) => {
    const event = usageEvent(record);
    return { event, plain: JSON.parse(JSON.stringify(event)) as unknown };
  };

  it.each([attempt, interval])("reads what is published on the topic, in its structured mode: $kind", (record) => {
    const { topic, key = "", value, headers = [] } = logRecordOf(record);
    const named = Object.fromEntries(headers.map(({ key: name, value: text }) => [name, text]));
    const message: KafkaMessage = { key, value, headers: named, body: undefined };
    const read = Kafka.toEvent(message);
    const expected = { ...told(record).event, partitionkey: record.id };
    expect([topic, JSON.parse(JSON.stringify(read))]).toEqual(["usage", expected]);
  });

  it("reads what is sent to OpenMeter, as a batch", () => {
    const events = [attempt, interval].map((record) => told(record).event);
    const { headers, body } = openMeter({ url: "http://localhost", token: undefined }).request(events);
    expect(JSON.parse(JSON.stringify(HTTP.toEvent({ headers, body })))).toEqual(JSON.parse(body));
  });

  it.each([attempt, interval])("makes the binary mode of it, and reads the same again: $kind", (record) => {
    const { event, plain } = told(record);
    const strict = new CloudEvent(event, true);
    expect(strict.validate()).toBe(true);
    expect(JSON.parse(JSON.stringify(HTTP.toEvent(HTTP.binary(strict))))).toEqual(plain);
  });
});
