/** Makes the producer that the settings name: an Upstash-dialect log when `LOG_URL` is set, else the embedded log. */
import { EdgeplaneError } from "../contract/errors.ts";
import type { Env } from "../env.ts";
import { createLogClient } from "./client.ts";
import type { LogEnv } from "./client.ts";
import type { LogProducer } from "./types.ts";
import { createUpstashProducer } from "./upstash-producer.ts";

export function createProducer(env: LogEnv & Pick<Env, "LOG_URL" | "LOG_USERNAME" | "LOG_PASSWORD">): LogProducer {
  if (env.LOG_URL === undefined || env.LOG_URL === "") return createEmbeddedProducer(env);
  if (!env.LOG_USERNAME || !env.LOG_PASSWORD) {
    throw new EdgeplaneError("internal", "LOG_URL is set, but LOG_USERNAME or LOG_PASSWORD is not.");
  }
  return createUpstashProducer({ url: env.LOG_URL, username: env.LOG_USERNAME, password: env.LOG_PASSWORD });
}

/** Produces to this Worker's own brokers, one call a broker; topics come into being on first use. */
export function createEmbeddedProducer(env: LogEnv): LogProducer {
  const client = createLogClient(env);
  return {
    async produce(records) {
      return records.length === 0 ? [] : client.produce(records, () => true);
    },
  };
}
