/** Where a topic's partitions live, and what its name says. Pure; the Worker and every broker compute the same. */
import { priorities } from "../contract/prediction.ts";
import type { Priority } from "../contract/prediction.ts";

const JOB_TOPIC = /^(jobs\..+)\.(high|normal|low)$/;

/** The priority that a lane's topic stands for; every other topic is drained as `normal`. */
export function topicPriority(topic: string): Priority {
  const name = JOB_TOPIC.exec(topic)?.[2];
  return priorities.find((priority) => priority === name) ?? "normal";
}

/** The name of the Durable Object of broker `index`. */
export function brokerName(index: number): string {
  return `log-${index}`;
}

/**
 * The broker of a partition. A lane's three topics share a base, so that the same partition of each lies on the same
 * broker: only there can they be drained by weight.
 */
export function brokerOf(topic: string, partition: number, brokerCount: number): number {
  const base = JOB_TOPIC.exec(topic)?.[1] ?? topic;
  return (fnv1a(base) + partition) % brokerCount;
}

/** The partitions of a topic with `partitionCount` that live on broker `index`. */
export function partitionsOn(index: number, topic: string, partitionCount: number, brokerCount: number): number[] {
  const local: number[] = [];
  for (let partition = 0; partition < partitionCount; partition++) {
    if (brokerOf(topic, partition, brokerCount) === index) local.push(partition);
  }
  return local;
}

/** The key of a partition in maps. A topic's name has no slash. */
export function partitionKey(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}
