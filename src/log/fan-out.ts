/**
 * Waiting on several brokers at once. Every broker is asked to *say* when it has something; only then is it taken, from
 * one broker after the other until the room is full. So nothing is taken that can't be handed on. One broker is asked
 * outright.
 */
import type { Broker, ConsumeCall } from "./client.ts";
import { unwrap } from "./protocol.ts";
import type { ConsumeReply, ConsumeRequest, LogMessage, TopicPartitionOffset } from "./protocol.ts";

type Subject = Pick<ConsumeRequest, "group" | "instance" | "principal" | "topics" | "options">;

/**
 * What a broker answered: it has something, nothing came in time, or the caller consumed again and this call is over.
 */
type Outcome = "ready" | "nothing" | "over";

let nextTurn = 0;

export async function consumeFromOne(
  broker: Broker,
  place: { index: number; count: number },
  subject: Subject,
  call: Pick<ConsumeCall, "room" | "timeoutMs">,
): Promise<LogMessage[]> {
  const { room, timeoutMs } = call;
  const request: ConsumeRequest = {
    ...subject,
    broker: place,
    room,
    timeoutMs,
    mode: "take",
    waitId: crypto.randomUUID(),
  };
  return unwrap<ConsumeReply>(await broker.consume(request)).messages;
}

export async function consumeFromAll(
  brokers: readonly Broker[],
  subject: Subject,
  call: Pick<ConsumeCall, "room" | "timeoutMs">,
): Promise<LogMessage[]> {
  const deadline = Date.now() + call.timeoutMs;
  const count = brokers.length;
  for (;;) {
    const remainingMs = Math.max(0, deadline - Date.now());
    const waitId = crypto.randomUUID();
    const messages: LogMessage[] = [];
    const take = async (index: number): Promise<void> => {
      const broker = brokers[index];
      const room = call.room - messages.length;
      if (broker === undefined || room <= 0) return;
      const place = { index, count };
      messages.push(...(await consumeFromOne(broker, place, subject, { room, timeoutMs: 0 })));
    };
    let superseded = false;
    const first: { index: number; done: Promise<void> }[] = [];
    const ready = await firstReady(brokers, waitId, async (broker, index) => {
      const place = { index, count };
      const request = { ...subject, broker: place, room: 0, timeoutMs: remainingMs, mode: "wait" as const, waitId };
      const reply = unwrap<ConsumeReply>(await broker.consume(request));
      superseded ||= reply.superseded;
      // While the others' waits are being canceled, the first one's records are already on their way.
      if (reply.ready && first.length === 0) {
        const done = take(index);
        done.catch(() => undefined);
        first.push({ index, done });
      }
      return reply.ready ? "ready" : reply.superseded ? "over" : "nothing";
    });
    await first[0]?.done;
    for (const index of ready.filter((index) => index !== first[0]?.index)) {
      // Records that were taken count as handed on: they must be, though the next broker fails.
      await take(index).catch((error: unknown) => {
        if (messages.length === 0) throw error;
      });
    }
    if (messages.length > 0 || superseded || Date.now() >= deadline) return messages;
  }
}

export async function fetchFromAll(
  calls: readonly { broker: Broker; from: TopicPartitionOffset[] }[],
  timeoutMs: number,
): Promise<LogMessage[]> {
  const waitId = crypto.randomUUID();
  const found: LogMessage[][] = [];
  await firstReady(
    calls.map((call) => call.broker),
    waitId,
    async (broker, index) => {
      const from = calls[index]?.from ?? [];
      const messages = unwrap<LogMessage[]>(await broker.fetchRecords({ from, timeoutMs, waitId }));
      found[index] = messages;
      return messages.length > 0 ? "ready" : "nothing";
    },
  );
  return found.flat();
}

/**
 * Asks all brokers, and as soon as one is ready cancels the others' waits and collects their answers, which then come
 * at once. Answers the indexes of those that are ready. A broker that fails fails the call, once nobody waits any more.
 */
async function firstReady(
  brokers: readonly Broker[],
  waitId: string,
  ask: (broker: Broker, index: number) => Promise<Outcome>,
): Promise<number[]> {
  const open = new Set(brokers.keys());
  const turn = nextTurn++;
  const cancelOpen = (): void => {
    for (const index of open) void brokers[index]?.cancelWait(waitId).catch(() => undefined);
  };
  const ready: number[] = [];
  const results = await Promise.allSettled(
    brokers.map(async (_, place) => {
      // Whoever is asked first tends to answer first: that goes round.
      const index = (place + turn) % brokers.length;
      const broker = brokers[index];
      if (broker === undefined) return;
      try {
        const outcome = await ask(broker, index);
        open.delete(index);
        if (outcome === "ready") ready.push(index);
        if (outcome !== "nothing") cancelOpen();
      } catch (error) {
        open.delete(index);
        cancelOpen();
        throw error;
      }
    }),
  );
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined && ready.length === 0) throw failed.reason;
  return ready;
}
