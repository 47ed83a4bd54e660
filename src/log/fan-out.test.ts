/** Consuming from several brokers, of which one fails; the brokers are the test's. */
import { expect, it } from "vitest";
import { consumeFromAll } from "./fan-out.ts";
import { answer, failure } from "./protocol.ts";
import type { Answer, ConsumeReply, ConsumeRequest, LogMessage } from "./protocol.ts";
import type { Broker } from "./client.ts";

const message = (partition: number): LogMessage => ({
  ...{ topic: "t", partition, offset: 0, timestamp: 0, key: "", value: "v", headers: [] },
});
const subject = {
  ...{ group: "g", instance: "i", principal: "user:a", topics: [{ topic: "t", partitions: 2 }] },
  options: { autoCommit: true, autoCommitIntervalMs: 5000, reset: "earliest", sessionTimeoutMs: 60_000 },
} as const;

/** A broker that has a record, says so after `turns` of the event loop, and answers whoever takes it with `taken`. */
function brokerOf(turns: number, taken: () => Promise<Answer<ConsumeReply>>): Broker {
  const consume = async ({ mode }: ConsumeRequest): Promise<Answer<ConsumeReply>> => {
    if (mode === "take") return taken();
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    return answer({ ready: true, superseded: false, messages: [] });
  };
  return { consume, cancelWait: async () => {} } as unknown as Broker;
}

const failing = [
  ["is away", () => Promise.reject(new Error("the object was reset"))],
  ["refuses", async () => failure("quota_exceeded", "the object refuses")],
] as const;

it.each(failing)("hands on what one broker gave, though the next one %s when it is taken from", async (_, taken) => {
  const well = (partition: number, turns: number) =>
    brokerOf(turns, async () => answer({ ready: true, superseded: false, messages: [message(partition)] }));
  const brokers = [well(0, 0), brokerOf(1, taken), well(2, 2)];
  const found = await consumeFromAll(brokers, subject, { room: 10, timeoutMs: 1000 });
  expect(found.map(({ partition }) => partition)).toEqual([0, 2]);
});

it.each(failing)("says so where nothing was taken, and the only one %s", async (_, taken) => {
  const brokers = [brokerOf(0, taken), brokerOf(1, taken)];
  await expect(consumeFromAll(brokers, subject, { room: 10, timeoutMs: 1000 })).rejects.toThrow("the object");
});
