import { expect, it } from "vitest";
import { laneLags } from "./lane-lag.ts";

const at = (topic: string, partition: number, start: number, end: number) => ({
  topic,
  partition,
  start,
  end,
  bytes: 0,
});
const done = (group: string, topic: string, partition: number, committed: number) => ({
  ...{ group, topic, partition, committed, lag: 0 },
});

it("sums a topic's partitions over all brokers, from the lane's own commits or the first record", () => {
  const topic = "jobs.a.b.normal";
  const brokers = [
    {
      partitions: [at(topic, 0, 0, 10), at("results", 0, 0, 99)],
      lag: [done("lane.a.b", topic, 0, 7), done("another", topic, 0, 0)],
      counters: {},
    },
    { partitions: [at(topic, 1, 5, 9), at("jobs.c.low", 0, 4, 4)], lag: [], counters: {} },
  ];
  expect(laneLags(brokers)).toEqual([
    { lane: "a.b", topic, lag: 7 },
    { lane: "c", topic: "jobs.c.low", lag: 0 },
  ]);
  const kept = [{ partitions: [at(topic, 0, 8, 10)], lag: [done("lane.a.b", topic, 0, 2)], counters: {} }];
  expect(laneLags(kept)).toEqual([{ lane: "a.b", topic, lag: 2 }]);
});
