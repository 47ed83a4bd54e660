/** The allowance service of an isolate, over the stores that its environment has. */
import type { Env } from "../env.ts";
import { parkedSettings } from "../fleet/parked-store.ts";
import { createAllowances } from "./allowances.ts";
import { createObjectStore } from "./object-store.ts";
import { createRedisStore } from "./redis-store.ts";
import { createAllowanceService } from "./service.ts";

type Stores = Pick<Env, "ALLOWANCE" | "LEDGER" | "KV_REST_URL" | "KV_REST_TOKEN" | "KV_PREFIX">;

const services = new WeakMap<Stores["ALLOWANCE"], ReturnType<typeof createAllowanceService>>();

/** The service of this isolate. */
export function allowanceService(env: Stores): ReturnType<typeof createAllowanceService> {
  const known = services.get(env.ALLOWANCE);
  if (known !== undefined) return known;
  const redis = parkedSettings(env);
  const service = createAllowanceService({
    objects: createAllowances(createObjectStore(env.ALLOWANCE)),
    ledger: createAllowances(createObjectStore(env.LEDGER)),
    redis: redis === null ? null : createAllowances(createRedisStore(redis)),
  });
  services.set(env.ALLOWANCE, service);
  return service;
}
