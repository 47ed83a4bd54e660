/** What a rented machine runs: the pool, as the edge hands it out (deploy/pool/install.sh). */
import type { Order } from "./provider.ts";

/** For a shell. It stays as long as the pool does, and hands a SIGTERM on to it: the pool drains. */
export const poolCommand = "curl -fsSL --retry 5 $EDGEPLANE_URL/pool/install.sh | sh";

/** The settings that it needs; the token is this machine's alone, and expires. */
export function poolEnv({ edgeUrl, poolToken, name }: Order): Record<string, string> {
  return {
    EDGEPLANE_URL: edgeUrl,
    EDGEPLANE_POOL_TOKEN: poolToken,
    EDGEPLANE_POOL_NAME: name,
    EDGEPLANE_START: "foreground",
  };
}
