/** The services that a plugin may name in `needs`. It gets those, and no others. */
import type { Principal } from "./phases.ts";

/** Finds who a key belongs to. */
export type KeyDirectory = {
  /** False for a key that was never made here, told without the store. Throws when that can't be told. */
  mayExist(key: string): Promise<boolean>;
  /**
   * Looks a key up by its SHA-256 in hexadecimal; null when there is none, or it was revoked. Throws when the store is
   * away.
   */
  find(hash: string): Promise<Principal | null>;
};

/** Each by its name. Tests give a plugin those that it needs; src/settings/services.ts makes them of the bindings. */
export type Services = { keys: KeyDirectory };
export type ServiceName = keyof Services;
export const serviceNames = ["keys"] as const satisfies readonly ServiceName[];
