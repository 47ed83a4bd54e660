/** The services that take back what plugins reserved. */
import type { ReservationService, ReservationServiceName } from "../../plugins/kernel/reservations.ts";
import { allowanceService } from "../allowance/isolate-service.ts";
import type { Env } from "../env.ts";
import { responseService } from "../responses/service.ts";

/** Null: there is none of that name. */
export function reservationService(env: Env, name: string): ReservationService | null {
  const services: Record<ReservationServiceName, () => ReservationService> = {
    allowance: () => allowanceService(env),
    responses: () => responseService(env),
  };
  return Object.hasOwn(services, name) ? services[name as ReservationServiceName]() : null;
}
