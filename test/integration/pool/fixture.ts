/** One fake edge and the pools of a test, all ended with it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ModelRoom } from "../../../src/contract/channel.ts";
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
  /** Another pool beside the first, on another host as it were, once it is known. */
  second(): Promise<{ pool: RunningPool; state: string }>;
  /** Another pool on a host of its own. */
  elsewhere(flags: string[], state: string): RunningPool;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Starts an edge and a pool with the named models, and waits until the channel is open. */
export async function startFixture(
  names: (keyof typeof models)[],
  flags: string[] = [],
  { env, ...edgeOptions }: Parameters<typeof startFakeEdge>[0] & { env?: Record<string, string> } = {},
): Promise<Fixture> {
  const edge = await startFakeEdge(edgeOptions);
  const home = makeHome(Object.fromEntries(names.map((name) => [name, models[name]])));
  const pools: RunningPool[] = [];
  const start = (more: string[], state = home.state): RunningPool => {
    const pool = startPool(
      { ...home, state },
      edge.url,
      edge.token,
      ["--bundles-dir", join(home.root, "shared"), ...more],
      env,
    );
    pools.push(pool);
    return pool;
  };
  const fixture: Fixture = {
    edge,
    home,
    pool: start(flags),
    ref: (name) => refOf(home, name),
    restart: (more = flags) => (fixture.pool = start(more)),
    elsewhere: (more, state) => start(more, state),
    async second() {
      const state = join(home.root, "state-2");
      const before = edge.hellos.length;
      const pool = start(flags, state);
      await edge.until(() => edge.hellos.length > before, 60_000, "the second pool's hello");
      return { pool, state };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(pools.map((pool) => pool.kill("SIGKILL")));
      await edge.close();
      home.remove();
    },
  };
  try {
    await edge.until(() => edge.hellos.length > 0, 60_000, "the pool's hello");
  } catch (error) {
    // Nobody else would end it.
    await fixture[Symbol.asyncDispose]();
    throw new Error(`${String(error)}\n${fixture.pool.output()}`, { cause: error });
  }
  return fixture;
}

/** What the edge was told last of a model's room. */
export function roomOf({ messages }: FakeEdge, name: string): ModelRoom | undefined {
  const told = messages.flatMap((message) =>
    message.type === "room" ? message.lanes.flatMap(({ models }) => models) : [],
  );
  return told.findLast(({ model }) => model === `local/${name}`);
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

/** A run that goes on until the test lets it end. */
export function held(fixture: Fixture): { act: string; letEnd: () => void } {
  const path = join(fixture.home.root, "may-end");
  return { act: `until ${path}`, letEnd: () => writeFileSync(path, "") };
}

/**
 * Whether it ran once. A pool whose machine stands still may hand back what waits in it: a start that was counted for
 * it then ran nothing.
 */
export function ranOnce({ starts, events }: Tracked): boolean {
  const handedBack = events.filter((event) => event.type === "released" && event.reason === "no_room");
  return starts >= 1 && starts <= 1 + handedBack.length;
}
