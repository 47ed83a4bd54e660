/**
 * Asks a log that speaks the Upstash dialect, at start, whether this pool can read its lanes there: each thing that can
 * be wrong has its own words.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { UpstashError } from "@upstash/kafka";
import { jobTopic } from "../../src/contract/job.ts";
import { priorities } from "../../src/contract/prediction.ts";
import type { UpstashKafka } from "./upstash-kafka.ts";

const CALL_TIMEOUT_MS = 5000;
/** A log that starts beside the pool may be a little late. */
const TRIES = 4;
const PAUSE_MS = 1000;

/** What is wrong, for the operator; null: nothing. */
export async function probeUpstash(kafka: UpstashKafka, url: URL, lanes: readonly string[]): Promise<string | null> {
  for (let attempt = 1; ; attempt += 1) {
    let isKafka = false;
    try {
      await kafka.with({ timeoutMs: CALL_TIMEOUT_MS }).admin().topics();
      isKafka = true;
      for (const lane of lanes) await readCommits(kafka, lane);
      return null;
    } catch (error) {
      const isRefusal = error instanceof UpstashError && error.status < 500;
      if (isRefusal || attempt === TRIES) return problemOf(error, url, isKafka);
      await sleep(PAUSE_MS);
    }
  }
}

/** The cheapest call that asks for all that intake needs: the group, and the lane's three topics. It joins nothing. */
async function readCommits(kafka: UpstashKafka, lane: string): Promise<void> {
  const topicPartitions = priorities.map((priority) => ({ topic: jobTopic(lane, priority), partition: 0 }));
  const consumer = kafka.with({ timeoutMs: CALL_TIMEOUT_MS }).consumer();
  await consumer.committed({ consumerGroupId: `lane.${lane}`, instanceId: "probe", topicPartitions });
}

/** `isKafka`: another call was answered as a log answers. */
function problemOf(error: unknown, { origin, pathname }: URL, isKafka: boolean): string {
  const at = `${origin}${pathname}`;
  if (!(error instanceof UpstashError)) {
    const why = error instanceof Error ? error.message : String(error);
    return `--log-url: ${at} can't be reached (${why}): check the address, and that it is up`;
  }
  const { status, error: said } = error;
  if (said.startsWith("not an answer of") || (status === 404 && !isKafka))
    return `--log-url: ${at} is no Kafka over HTTP (it answered ${status}): give its base, such as https://…/kafka`;
  if (status === 401) return `--log-username, --log-password: ${at} does not know this user and password: ${said}`;
  if (status === 403) return `--log-username: this user lacks a right at ${at}: ${said}`;
  if (status === 404) return `--log-url: a topic is missing at ${at}: ${said}`;
  return `--log-url: ${at} answered ${status}: ${said}`;
}
