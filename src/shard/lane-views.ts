/** What a shard remembers of its lanes, so that it tells places without a call. */
import type { PredictionSnapshot, QueuePlace } from "../contract/prediction.ts";
import { modelPath } from "../contract/manifest.ts";
import { handedOver, placeOf } from "../lane/places.ts";
import { accountKey, versionKey } from "../lane/types.ts";
import type { EntryRef, LaneView, ModelView, OfferReply, Served, Ticket } from "../lane/types.ts";

type Flow = Omit<EntryRef, "id" | "createdAt">;
type Known = {
  at: number;
  models: Map<string, ModelView>;
  served: Map<string, Served>;
  /** What the next question is to name: flows, and predictions whose ticket isn't remembered. */
  wanted: Map<string, Flow>;
  ticketless: Set<string>;
};

/** Flows that one question names at most, and predictions. */
const MAX_WANTED = 200;
/** Tickets that are remembered, 10 MB about. The lane tells one again when somebody asks for its prediction's place. */
export const MAX_TICKETS = 50_000;
/** Of each lane: versions, and how far accounts were served on them. */
const MAX_MODELS = 2000;
const MAX_SERVED = 20_000;
const notWaiting: QueuePlace = { position: 0, etaMs: 0, ahead: { own: 0, shared: 0, priority: 0 } };
const unknown: QueuePlace = { position: null, etaMs: null, ahead: null };

export function createLaneViews(now: () => number) {
  const lanes = new Map<string, Known>();
  const tickets = new Map<string, Ticket>();

  function knownOf(lane: string): Known {
    const known = lanes.get(lane) ?? {
      at: 0,
      models: new Map(),
      served: new Map(),
      wanted: new Map(),
      ticketless: new Set(),
    };
    lanes.set(lane, known);
    return known;
  }

  return {
    note(lane: string, reply: Pick<OfferReply, "tickets" | "view">, gone: readonly { id: string }[]): void {
      const known = knownOf(lane);
      known.at = now();
      for (const view of reply.view.models) keep(known.models, versionKey(view), view, MAX_MODELS);
      for (const [flow, index] of Object.entries(reply.view.served)) keep(known.served, flow, index, MAX_SERVED);
      for (const [id, ticket] of Object.entries(reply.tickets)) keep(tickets, id, ticket, MAX_TICKETS);
      for (const { id } of gone) tickets.delete(id);
    },

    /** Versions of the lane that have room and nobody waiting, as far as is known. */
    *open(view: LaneView): Iterable<ModelView> {
      for (const model of view.models) {
        const { high, normal, low } = model.waiting;
        if (model.room > 0 && high + normal + low === 0) yield model;
      }
    },

    /** The prediction's flow is of interest; whether what is known of its lane is older than `maxAgeMs`. */
    wants(prediction: PredictionSnapshot, maxAgeMs: number): boolean {
      const known = knownOf(prediction.lane);
      const flow = flowOf(prediction);
      if (known.wanted.size < MAX_WANTED) known.wanted.set(accountKey(flow), flow);
      if (!tickets.has(prediction.id) && known.ticketless.size < MAX_WANTED) known.ticketless.add(prediction.id);
      if (now() - known.at < maxAgeMs) return false;
      known.at = now();
      return true;
    },

    /** Takes the flows that the next question is to name. */
    takeWanted(lane: string): Flow[] {
      const { wanted } = knownOf(lane);
      const flows = [...wanted.values()];
      wanted.clear();
      return flows;
    },

    /** Takes the predictions whose tickets the next question is to ask for. */
    takeTicketless(lane: string): string[] {
      const { ticketless } = knownOf(lane);
      const ids = [...ticketless];
      ticketless.clear();
      return ids;
    },

    placeOf(prediction: PredictionSnapshot, isWaiting: boolean): QueuePlace {
      if (!isWaiting && prediction.status !== "starting") return notWaiting;
      const { models, served } = knownOf(prediction.lane);
      const flow = flowOf(prediction);
      const model = models.get(versionKey(flow));
      if (!isWaiting) return model === undefined ? notWaiting : handedOver(model);
      if (model === undefined) return unknown;
      const view = { models: [model], served: Object.fromEntries(pick(served, accountKey(flow))) };
      const ticket = tickets.get(prediction.id) ?? null;
      if (ticket !== null) keep(tickets, prediction.id, ticket, MAX_TICKETS);
      // Without one it never had to wait, unless it was forgotten.
      else if (tickets.size >= MAX_TICKETS) return unknown;
      return placeOf(ticket, flow, view);
    },
  };
}

/** Keeps the newest `most`: what was kept longest ago makes room. */
function keep<T>(map: Map<string, T>, key: string, value: T, most: number): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= most) return;
    map.delete(oldest);
  }
}

function pick<T>(map: ReadonlyMap<string, T>, key: string): [string, T][] {
  const value = map.get(key);
  return value === undefined ? [] : [[key, value]];
}

function flowOf({ accountId, priority, model }: PredictionSnapshot): Flow {
  return { account: accountId, priority, model: modelPath(model), version: model.version };
}
