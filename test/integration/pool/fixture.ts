/** One fake edge and the pools of a test, all ended with it. */
import { startFakeEdge } from "./fake-edge.ts";
import type { FakeEdge, Tracked } from "./fake-edge.ts";
import { models } from "./models.ts";
import { makeHome, refOf, startPool } from "./pool-process.ts";
import type { PoolHome, RunningPool } from "./pool-process.ts";
import type { ModelRef } from "../../../src/contract/prediction.ts";

export type Fixture = {
  edge: FakeEdge;
  home: PoolHome;
  pool: RunningPool;
  ref(name: keyof typeof models): Promise<ModelRef>;
  /** Another pool on the same state folder. */
  restart(flags?: string[]): RunningPool;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Starts an edge and a pool with the named models, and waits until the channel is open. */
export async function startFixture(names: (keyof typeof models)[], flags: string[] = []): Promise<Fixture> {
  const edge = await startFakeEdge();
  const home = makeHome(Object.fromEntries(names.map((name) => [name, models[name]])));
  const pools: RunningPool[] = [];
  const start = (more: string[]): RunningPool => {
    const pool = startPool(home, edge.url, edge.token, more);
    pools.push(pool);
    return pool;
  };
  const fixture: Fixture = {
    edge,
    home,
    pool: start(flags),
    ref: (name) => refOf(home, name),
    restart: (more = flags) => (fixture.pool = start(more)),
    async [Symbol.asyncDispose]() {
      await Promise.all(pools.map((pool) => pool.kill("SIGKILL")));
      await edge.close();
      home.remove();
    },
  };
  await edge
    .until(() => edge.hellos.length > 0, 10_000, "the pool's hello")
    .catch((error: unknown) => {
      throw new Error(`${String(error)}\n${fixture.pool.output()}`);
    });
  return fixture;
}

/** Whether the model has begun with what it was told: `sleep` and `hold` say so. */
export function hasBegun(tracked: Tracked): boolean {
  return tracked.events.some((event) => event.type === "log");
}

/** The pids of a pool's model processes, from its local port. */
export async function modelPids(pool: RunningPool): Promise<number[]> {
  const reply = await fetch(`http://127.0.0.1:${await pool.port()}/models`);
  const text = await reply.text();
  return [...text.matchAll(/"pid":(\d+)/g)].map(([, pid]) => Number(pid));
}
