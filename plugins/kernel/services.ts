/** The services that a plugin may name in `needs`. It gets those, and no others. */
import type { AllowanceService } from "./allowance.ts";
import type { Principal } from "./phases.ts";

/** Finds who a key belongs to. */
export type KeyDirectory = {
  /** False for a key that was never made here, told without the store. Throws when that can't be told. */
  mayExist(key: string): Promise<boolean>;
  /**
   * Looks a key up by its SHA-256 in hexadecimal, and when it expires (milliseconds since the epoch; null: never); null
   * when there is none, it was revoked, or it has expired. Throws when the store is away.
   */
  find(hash: string): Promise<{ principal: Principal; expiresAt: number | null } | null>;
};

/** Each by its name. Tests give a plugin those that it needs; src/settings/services.ts makes them of the bindings. */
export type Services = { keys: KeyDirectory; allowance: AllowanceService };
export type ServiceName = keyof Services;
export const serviceNames = ["keys", "allowance"] as const satisfies readonly ServiceName[];
