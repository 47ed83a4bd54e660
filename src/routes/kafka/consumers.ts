/** Consume, commit, fetch and leave. upstash.com/docs/kafka/rest/restconsumer. */
import { CLAIM_HEADER } from "../../contract/claim.ts";
import { commitRequest, consumeRequest, fetchRequest, instanceRequest, roomOf } from "../../contract/kafka-requests.ts";
import type { InstanceRef } from "../../log/protocol.ts";
import { SUCCESS } from "./calls.ts";
import type { Call, Given } from "./calls.ts";
import { BROKER_HEADER, brokerIndex, claimOrder, memberOptions, waitMs } from "./headers.ts";
import { checkRights, refusePools, topicsOf } from "./rights.ts";

const DEFAULT_ROOM = 500;

export const consume: Call = async ({ request, principal, log }) => {
  const ref = instanceRef({ request, principal });
  const { topics, timeoutMs } = consumeRequest(request);
  checkRights(principal, "consume", topics);
  return log.consume({
    ref,
    topics,
    options: memberOptions(request, principal.lanes !== null),
    room: roomOf(request) ?? DEFAULT_ROOM,
    timeoutMs: waitMs(timeoutMs),
    claim: claimOrder(request.header(CLAIM_HEADER), principal.lanes),
    broker: brokerIndex(request.header(BROKER_HEADER)),
    create: principal.mayCreate,
  });
};

export const commit: Call = async ({ request, principal, log }) => {
  const ref = instanceRef({ request, principal });
  const offsets = commitRequest(request);
  checkRights(principal, "consume", topicsOf(offsets ?? []));
  await log.commit(ref, offsets);
  return SUCCESS;
};

export const fetchRecords: Call = async ({ request, principal, log }) => {
  refusePools(principal);
  const { from, timeoutMs } = fetchRequest(request);
  checkRights(principal, "consume", topicsOf(from));
  return log.fetch(from, waitMs(timeoutMs));
};

export const deleteConsumer: Call = async ({ request, principal, log }) => {
  await log.removeInstance(instanceRef({ request, principal }));
  return SUCCESS;
};

function instanceRef({ request, principal }: Pick<Given, "request" | "principal">): InstanceRef {
  return { ...instanceRequest(request), principal: principal.name };
}
