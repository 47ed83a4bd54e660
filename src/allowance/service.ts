/**
 * The allowance service: what plugins reserve with, and what takes back what was reserved when predictions have ended.
 */
import type {
  AllowanceAnswer,
  AllowanceService,
  AllowanceStoreName,
  AllowanceUnit,
  Charge,
} from "../../plugins/kernel/allowance.ts";
import { isMoney } from "../../plugins/kernel/allowance.ts";
import { NotEndedError } from "../../plugins/kernel/reservations.ts";
import type { ReservationEnd, ReservationService } from "../../plugins/kernel/reservations.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import type { Allowances } from "./allowances.ts";
import { fromData, toData } from "./reservation-data.ts";

/** A reservation is told to be over so much later than its prediction must be. */
const GRACE_MS = 60_000;
/**
 * One of money: its shard waits for eight leases until it knows what a run cost that was stopped (src/shard/leases.ts).
 */
const MONEY_GRACE_MS = 300_000;

type Service = AllowanceService & ReservationService;

export function createAllowanceService(stores: {
  objects: Allowances;
  ledger: Allowances;
  redis: Allowances | null;
}): Service {
  function storeOf(name: AllowanceStoreName): Allowances {
    const store = stores[name];
    if (store === null) throw new Error("there is no Redis: KV_REST_URL and KV_REST_TOKEN are unset");
    return store;
  }

  return {
    stores: ["objects", "ledger", ...(stores.redis === null ? [] : ["redis" as const])],

    reserve(store, expiresAt, charges) {
      if (charges.some(({ spec }) => isMoney(spec) !== (store === "ledger"))) {
        throw new Error("money is kept in the ledger, and nothing else is");
      }
      const over = expiresAt + (store === "ledger" ? MONEY_GRACE_MS : GRACE_MS);
      const decision = storeOf(store).reserve(crypto.randomUUID(), over, charges);
      return decision instanceof Promise ? decision.then((one) => answerOf(store, one)) : answerOf(store, decision);
    },

    async end(ends) {
      const byStore = Map.groupBy(ends.flatMap(decoded), ({ store }) => store);
      const calls = await Promise.allSettled(
        [...byStore].map(async ([store, own]) => {
          const settled = own.map(({ end, reservation }) => ({
            reservation,
            used: reservation.taken.map((charge) => usedOf(charge, end)),
            ...(end.mayChange === true ? { mayChange: true } : {}),
          }));
          // Where the operator took the Redis away, nobody counts there any more.
          await stores[store]?.settle(settled);
        }),
      );
      throwLeft(calls.flatMap((call) => (call.status === "rejected" ? [call.reason as unknown] : [])));
    },
  };
}

/** Throws one error for all that the stores could not end. */
function throwLeft(reasons: readonly unknown[]): void {
  const [first] = reasons;
  if (first === undefined) return;
  const left = new Set<string>();
  for (const reason of reasons) {
    if (!(reason instanceof NotEndedError)) throw reason;
    for (const id of reason.ids) left.add(id);
  }
  throw new NotEndedError(left, { cause: first instanceof Error ? first.cause : first });
}

/** Nothing for one that can't be read: it keeps no other from ending. */
function decoded(end: ReservationEnd) {
  try {
    return [{ end, ...fromData(end.id, end.data) }];
  } catch (error) {
    log.error("reservation_unreadable", {
      plugin: end.plugin,
      predictionId: end.predictionId,
      reason: reasonOf(error),
    });
    return [];
  }
}

/** Units of which all stays once the prediction is accepted, so that nothing is to be told of its end. */
const countedAtOnce: ReadonlySet<AllowanceUnit> = new Set(["requests", "bytes"]);

function answerOf(store: AllowanceStoreName, decision: Awaited<ReturnType<Allowances["reserve"]>>): AllowanceAnswer {
  if (!decision.ok) return decision;
  const { reservation, states } = decision;
  const untilAccepted = reservation.taken.every(({ unit, held }) => countedAtOnce.has(unit) && held !== true);
  const data = toData(store, reservation);
  return {
    ok: true,
    reservation: {
      ...{ service: "allowance", id: reservation.id, data },
      ...(untilAccepted ? { untilAccepted } : {}),
      ...(store === "ledger" ? { needsCost: true } : {}),
    },
    states,
  };
}

/** What of a charge stays when the prediction has ended so. */
function usedOf({ unit, amount }: Charge, { how, status, cost, costNano }: ReservationEnd): number {
  if (status === null) return 0;
  const used: Record<AllowanceUnit, number> = {
    requests: amount,
    bytes: amount,
    cost: how === "release" ? 0 : cost,
    concurrency: 0,
    money: how === "release" ? 0 : costNano,
  };
  return used[unit];
}
