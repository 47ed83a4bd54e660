/** Makes the producer of a log. */
import { EdgeplaneError } from "../contract/errors.ts";
import type { LogChoice } from "../registry/log-settings.ts";
import { createLogClient } from "./client.ts";
import type { LogEnv } from "./client.ts";
import type { LogProducer } from "./types.ts";
import { createUpstashProducer } from "./upstash-producer.ts";

export function createProducer(env: LogEnv, choice: LogChoice): LogProducer {
  if (choice.driver === "embedded") return createEmbeddedProducer(env);
  const { username, password } = choice.producer;
  if (username === "" || password === "") {
    throw new EdgeplaneError("internal", "LOG_URL is set, but LOG_USERNAME or LOG_PASSWORD is not.");
  }
  return createUpstashProducer({ url: choice.url, username, password });
}

/** Produces to this Worker's own brokers, one call a broker; topics come into being on first use. */
export function createEmbeddedProducer(env: LogEnv): LogProducer {
  const client = createLogClient(env);
  return {
    async produce(records) {
      return records.length === 0 ? [] : client.produce(records, () => true, null);
    },
  };
}
