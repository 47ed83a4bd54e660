/** Consume, commit, fetch and leave. upstash.com/docs/kafka/rest/restconsumer. */
import { commitRequest, consumeRequest, fetchRequest, instanceRequest, roomOf } from "../../contract/kafka-requests.ts";
import type { InstanceRef } from "../../log/protocol.ts";
import { SUCCESS } from "./calls.ts";
import type { Call, Given } from "./calls.ts";
import { BROKER_HEADER, brokerIndex, memberOptions, waitMs } from "./headers.ts";
import { lanesOf, peekJobs, pollJobs } from "./jobs.ts";
import { checkRights, refusePools, topicsOf } from "./rights.ts";

const DEFAULT_ROOM = 500;

export const consume: Call = async (given) => {
  const { request, principal, log } = given;
  const ref = instanceRef({ request, principal });
  const { topics, timeoutMs } = consumeRequest(request);
  checkRights(principal, "consume", topics);
  const lanes = lanesOf(topics);
  if (lanes.length > 0) return pollJobs(given, lanes, topics);
  return log.consume({
    ref,
    topics,
    options: memberOptions(request),
    room: roomOf(request) ?? DEFAULT_ROOM,
    timeoutMs: waitMs(timeoutMs),
    broker: brokerIndex(request.header(BROKER_HEADER)),
    create: principal.mayCreate,
  });
};

export const commit: Call = async ({ request, principal, log }) => {
  const ref = instanceRef({ request, principal });
  const offsets = commitRequest(request);
  checkRights(principal, "consume", topicsOf(offsets ?? []));
  // What a pool polled was granted by then: there is nothing left to remember.
  if (principal.lanes !== null || lanesOf(topicsOf(offsets ?? [])).length > 0) return SUCCESS;
  await log.commit(ref, offsets);
  return SUCCESS;
};

export const fetchRecords: Call = async (given) => {
  const { request, principal, log } = given;
  refusePools(principal);
  const { from, timeoutMs } = fetchRequest(request);
  checkRights(principal, "consume", topicsOf(from));
  return lanesOf(topicsOf(from)).length > 0 ? peekJobs(given, from) : log.fetch(from, waitMs(timeoutMs));
};

export const deleteConsumer: Call = async ({ request, principal, log }) => {
  const ref = instanceRef({ request, principal });
  // A pool is no member of a group.
  if (principal.lanes === null) await log.removeInstance(ref);
  return SUCCESS;
};

function instanceRef({ request, principal }: Pick<Given, "request" | "principal">): InstanceRef {
  return { ...instanceRequest(request), principal: principal.name };
}
