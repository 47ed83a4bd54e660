/**
 * Produce, in its three forms, and the webhook that produces. upstash.com/docs/kafka/rest/restproducer and …/webhook.
 */
import { EdgeplaneError } from "../../contract/errors.ts";
import { produceRequest, webhookRequest } from "../../contract/kafka-requests.ts";
import type { DialectRecord } from "../../contract/kafka-schemas.ts";
import type { ProduceRecord } from "../../log/client.ts";
import type { ProducedRecord } from "../../log/types.ts";
import { laneOfTopic } from "../../log/names.ts";
import type { Call, Given } from "./calls.ts";
import { checkRights, topicsOf } from "./rights.ts";

async function produceAll({ principal, log }: Given, records: readonly DialectRecord[]): Promise<ProducedRecord[]> {
  checkRights(principal, "produce", topicsOf(records));
  refuseJobTopics(records);
  return log.produce(records.map(toRecord), principal.mayCreate, principal.name);
}

function refuseJobTopics(records: readonly DialectRecord[]): void {
  const job = records.find(({ topic }) => laneOfTopic(topic) !== null);
  if (job === undefined) return;
  throw new EdgeplaneError(
    "topic_forbidden",
    `\`${job.topic}\` is served by its lane, which alone puts jobs there; make a prediction instead.`,
  );
}

export const produce: Call = async (given) => {
  const { records, isSingle } = produceRequest(given.request);
  const produced = await produceAll(given, records);
  return isSingle ? produced[0] : produced;
};

export const webhook: Call = async (given) => (await produceAll(given, webhookRequest(given.request)))[0];

function toRecord({ topic, value, key, partition, timestamp, headers }: DialectRecord): ProduceRecord {
  const record: ProduceRecord = { topic, value };
  if (typeof key === "string") record.key = key;
  if (typeof partition === "number") record.partition = partition;
  if (typeof timestamp === "number") record.timestamp = timestamp;
  if (headers) record.headers = headers;
  return record;
}
