/**
 * The producer over the Upstash dialect: `@upstash/kafka`, under our own clock. The client tries every failure again, a
 * 400 too, 6 times over 15.5 s and without a timeout; here each call is tried once, bounded by a timeout. Who produces
 * tries again when that may help: a record that arrives twice is harmless.
 */
import { Kafka, UpstashError } from "@upstash/kafka";
import { EdgeplaneError } from "../contract/errors.ts";
import type { LogProducer } from "./types.ts";

export type UpstashProducerOptions = {
  url: string;
  username: string;
  password: string;
  timeoutMs?: number;
};

export function createUpstashProducer(options: UpstashProducerOptions): LogProducer {
  const { url, username, password, timeoutMs = 5000 } = options;
  const producer = new Kafka({ url, username, password }).producer();
  turnOffRetries(producer);
  return {
    async produce(records) {
      if (records.length === 0) return [];
      try {
        return await within(timeoutMs, producer.produceMany(records));
      } catch (error) {
        throw refusal(error) ?? error;
      }
    },
  };
}

/** The log's refusal for good, or null when trying again may help. */
function refusal(error: unknown): EdgeplaneError | null {
  if (!(error instanceof UpstashError)) return null;
  const message = `The log refused the records: ${error.error}`;
  if (error.status === 413) return new EdgeplaneError("payload_too_large", message, { cause: error });
  if (error.status === 400 || error.status === 422)
    return new EdgeplaneError("invalid_request", message, { cause: error });
  return null;
}

/**
 * The client's HTTP layer takes `retries` with each request, but its producer doesn't pass any. Its shape is fixed by
 * the pinned version; where it is another, its own retries stay and only the timeout holds.
 */
function turnOffRetries(producer: object): void {
  const client: unknown = Reflect.get(producer, "client");
  if (typeof client !== "object" || client === null) return;
  const request: unknown = Reflect.get(client, "request");
  if (typeof request !== "function") return;
  Reflect.set(client, "request", (method: string, call: object) => {
    const result: unknown = Reflect.apply(request, client, [method, { ...call, retries: 0 }]);
    return result;
  });
}

async function within<T>(timeoutMs: number, call: Promise<T>): Promise<T> {
  // It may fire for nothing: why it isn't cleared, src/object-timers.ts tells.
  const expired = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error(`The log did not answer within ${timeoutMs} ms.`)), timeoutMs);
  });
  return Promise.race([call, expired]);
}
