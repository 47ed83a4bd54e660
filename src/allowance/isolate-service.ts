/** The allowance service of an isolate, over the stores that its environment has. */
import type { Env } from "../env.ts";
import { parkedSettings } from "../fleet/parked-store.ts";
import { createAllowances } from "./allowances.ts";
import { createObjectStore } from "./object-store.ts";
import { createRedisStore } from "./redis-store.ts";
import { createAllowanceService } from "./service.ts";

type Stores = Pick<Env, "ALLOWANCE" | "LEDGER" | "KV_REST_URL" | "KV_REST_TOKEN" | "KV_PREFIX">;
type Behind = (work: Promise<void>) => void;
type Service = ReturnType<typeof createAllowanceService>;

/**
 * How long a refusal waits for other subjects. Where they are well, the one that holds longest is told, and nobody
 * hears of it before the others have back what they gave. The plugins have 2 s in all.
 */
const REFUSED_MS = 250;

/** Milliseconds that a subject may take to end reservations: a slower one is told again, alone. */
const SETTLE_MS = 5000;

const reserving = new WeakMap<Stores["ALLOWANCE"], Service>();
const ending = new WeakMap<Stores["ALLOWANCE"], Service>();

/**
 * The service of this isolate. `behind` keeps what goes on behind an answer from ending with its request; who only ends
 * reservations needs none.
 */
export function allowanceService(env: Stores, behind?: Behind): Service {
  const services = behind === undefined ? ending : reserving;
  const known = services.get(env.ALLOWANCE);
  if (known !== undefined) return known;
  const redis = parkedSettings(env);
  const options = behind === undefined ? { settleMs: SETTLE_MS } : { refusedMs: REFUSED_MS, behind };
  const service = createAllowanceService({
    objects: createAllowances(createObjectStore(env.ALLOWANCE), Date.now, options),
    ledger: createAllowances(createObjectStore(env.LEDGER), Date.now, options),
    redis: redis === null ? null : createAllowances(createRedisStore(redis), Date.now, options),
  });
  services.set(env.ALLOWANCE, service);
  return service;
}
