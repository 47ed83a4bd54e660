/** Makes the producer of a log. */
import { EdgeplaneError } from "../contract/errors.ts";
import type { LogChoice } from "../registry/log-settings.ts";
import { createLogClient } from "./client.ts";
import type { LogEnv } from "./client.ts";
import type { LogProducer, LogRecord, ProducedRecord } from "./types.ts";
import { createUpstashProducer } from "./upstash-producer.ts";

export function createProducer(env: LogEnv, choice: LogChoice): LogProducer {
  if (choice.driver === "embedded") return createEmbeddedProducer(env);
  const { username, password } = choice.producer;
  if (username === "" || password === "") {
    throw new EdgeplaneError("internal", "LOG_URL is set, but LOG_USERNAME or LOG_PASSWORD is not.");
  }
  return createUpstashProducer({ url: choice.url, username, password });
}

/** Of values in one call to the brokers: the platform takes 32 MiB, and two bytes a character may be needed. */
const MAX_CALL_CHARS = 8_388_608;

/**
 * Produces to this Worker's own brokers, one call a broker, or several where there is much; topics come into being on
 * first use.
 */
export function createEmbeddedProducer(env: LogEnv): LogProducer {
  const client = createLogClient(env);
  return {
    async produce(records) {
      const produced: ProducedRecord[] = [];
      for (const part of partsOf(records)) produced.push(...(await client.produce(part, () => true, null)));
      return produced;
    },
  };
}

function partsOf(records: readonly LogRecord[]): LogRecord[][] {
  const parts: LogRecord[][] = [];
  let left = 0;
  for (const record of records) {
    const part = record.value.length > left ? undefined : parts.at(-1);
    if (part === undefined) {
      parts.push([record]);
      left = MAX_CALL_CHARS;
    } else part.push(record);
    left -= record.value.length;
  }
  return parts;
}
