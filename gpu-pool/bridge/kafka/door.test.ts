/** The lag of several groups, of which one can't be read; what the door is made of is the test's. */
import { expect, test, vi } from "vitest";
import { createMetrics } from "../metrics.ts";
import type { KafkaSettings } from "../settings.ts";
import { KafkaDoor } from "./door.ts";

vi.mock("@platformatic/kafka", () => ({
  Admin: class {
    on() {}
  },
  Consumer: vi.fn(),
  Producer: vi.fn(),
}));
vi.mock("./instances.ts", () => ({
  Instances: class {
    size = 3;
    all = ["a", "broken", "c"].map((group) => ({ name: { group }, topics: ["t"] }));
  },
}));
vi.mock("./lag.ts", () => ({
  groupLag: async (_cluster: unknown, _reader: unknown, group: string) => {
    if (group === "broken") throw new Error("The topic was deleted");
    return new Map([["t", 3]]);
  },
}));

test("a group whose lag can't be read hides no other's", async () => {
  const metrics = createMetrics();
  const settings = { brokers: [], clientId: "test", tls: false, users: [], topics: {}, limits: {} };
  const door = new KafkaDoor(settings as unknown as KafkaSettings, metrics);
  await door.measureLag();
  const { values } = await metrics.lag.get();
  expect(values.map(({ labels, value }) => [labels.group, value])).toEqual([
    ["a", 3],
    ["c", 3],
  ]);
});
