/** A pool of a scenario's own beside, or in place of, the stack's: another host with the same token and models. */
import { join } from "node:path";
import { createPool } from "../../../scripts/lib/pool.ts";
import { findPython } from "../../../scripts/lib/preflight.ts";
import type { Supervised } from "../../../scripts/lib/supervised.ts";
import type { World } from "./world.ts";

export type ExtraPool = Supervised & {
  /** SIGKILL, and nobody starts it again. */
  killForGood(): Promise<void>;
};

/** Not started yet. It reaches the edge at `url`; `env` wins over the world's. */
export async function createExtraPool(
  world: World,
  name: string,
  url: string,
  env: Readonly<Record<string, string>> = {},
): Promise<ExtraPool> {
  const pool = createPool(
    {
      url,
      token: world.stack.poolToken,
      models: world.models,
      stateDir: join(world.dir, name),
      python: await findPython(),
      env: { ...world.poolEnv, EDGEPLANE_METRICS_PORT: "0", ...env },
    },
    world.say,
    () => {},
  );
  return Object.assign(pool, {
    async killForGood() {
      const gone = pool.stop();
      pool.kill();
      await gone;
    },
  });
}
