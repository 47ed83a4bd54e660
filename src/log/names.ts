/** Where a topic's partitions live, and what its name says. Pure; the Worker and every broker compute the same. */
import { LaneNameSchema } from "../contract/job.ts";
import { priorities } from "../contract/prediction.ts";
import type { Priority } from "../contract/prediction.ts";

const JOB_TOPIC = /^(jobs\.(.+))\.(high|normal|low)$/;

/** The lane and priority that a job topic stands for; null for every other topic. */
export function laneOfTopic(topic: string): { lane: string; priority: Priority } | null {
  const [, , lane, name] = JOB_TOPIC.exec(topic) ?? [];
  const priority = priorities.find((one) => one === name);
  return lane === undefined || priority === undefined || !LaneNameSchema.safeParse(lane).success
    ? null
    : { lane, priority };
}

/** The name of the Durable Object of broker `index`. */
export function brokerName(index: number): string {
  return `log-${index}`;
}

/** The broker of a partition. */
export function brokerOf(topic: string, partition: number, brokerCount: number): number {
  // A lane's three topics share a base: before lanes served them, they were drained together, and what older state has
  // stays where it is.
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
