/** Topics, consumers, committed offsets, offsets by time. upstash.com/docs/kafka/rest/restmetadata. */
import { instanceRequest, offsetTime, partitionsRequest } from "../../contract/kafka-requests.ts";
import type { Call } from "./calls.ts";
import { checkRights, refusePools, topicsOf } from "./rights.ts";

export const topics: Call = async ({ principal, log }) => {
  refusePools(principal);
  const known = Object.entries(await log.topics());
  return Object.fromEntries(known.filter(([topic]) => principal.mayConsume(topic) || principal.mayProduce(topic)));
};

export const consumers: Call = async ({ principal, log }) => {
  refusePools(principal);
  const groups = (await log.consumers()).map((group) => ({
    name: group.name,
    instances: group.instances
      .map((instance) => ({
        name: instance.name,
        topics: instance.topics.filter(({ topic }) => principal.mayConsume(topic)),
      }))
      .filter((instance) => instance.topics.length > 0),
  }));
  return groups.filter((group) => group.instances.length > 0);
};

export const committed: Call = async ({ request, principal, log }) => {
  refusePools(principal);
  const { group } = instanceRequest(request);
  const partitions = partitionsRequest(request, 3);
  checkRights(principal, "consume", topicsOf(partitions));
  return log.committed(group, partitions);
};

export const offsets: Call = async ({ request, principal, log }) => {
  refusePools(principal);
  const at = offsetTime(request);
  const partitions = partitionsRequest(request, 2);
  checkRights(principal, "offsets", topicsOf(partitions));
  return log.offsets(partitions, at);
};
