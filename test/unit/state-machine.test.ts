/** Thousands of random interleavings of everything that can happen to a shard and its lane, against the invariants. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { isFinished } from "../../src/shard/row.ts";
import { World } from "./world.ts";
import type { Pool } from "./world.ts";

const RUNS = Number(process.env["STATE_MACHINE_RUNS"] ?? 1500);

const steps = {
  submit: (world: World, a: number) =>
    void world.submit({
      priority: (["high", "normal", "low"] as const)[a % 3] ?? "normal",
      stream: a % 4 === 0,
      resumesDeterministically: a % 5 === 0,
      cancelAfterMs: a % 7 === 0 ? 40_000 : null,
      startTimeoutMs: a % 6 === 0 ? 20_000 : 7 * 86_400_000,
    }),
  exchange: (world: World) => world.exchange(),
  produce: (world: World) => world.produce(true),
  deliver: (world: World) => {
    world.exchange();
    world.produce(true);
  },
  produceFails: (world: World) => world.produce(false),
  claim: (world: World, a: number, b: number) => void world.claim(poolOf(world, a), b, 1 + (b % 4), b % 3, true),
  claimUnanswered: (world: World, a: number, b: number) => void world.claim(poolOf(world, a), b, 2, 1, false),
  loseRecord: (world: World, a: number) => void world.log.splice(a % Math.max(1, world.log.length), 1),
  repeatRecords: (world: World) => void world.log.push(...world.log.slice(0, 20)),
  starting: on((world, pool, id) => world.send(pool, id, (base) => ({ ...base, type: "starting" }))),
  output: on((world, pool, id) => world.output(pool, id)),
  log: on((world, pool, id) => world.send(pool, id, (base) => ({ ...base, type: "log", text: "line\n" }))),
  succeed: on((world, pool, id) =>
    world.send(pool, id, (base) => ({ ...base, type: "succeeded", output: `by ${base.token}` })),
  ),
  fail: on((world, pool, id) =>
    world.send(pool, id, (base) => ({
      ...base,
      type: "failed",
      kind: "model",
      error: { code: "model_error", message: "no" },
    })),
  ),
  crash: on((world, pool, id) =>
    world.send(pool, id, (base) => ({
      ...base,
      type: "failed",
      kind: "crash",
      error: { code: "model_crashed", message: "killed" },
    })),
  ),
  release: on((world, pool, id) => world.send(pool, id, (base) => ({ ...base, type: "released", reason: "drain" }))),
  handBack: on((world, pool, id) =>
    world.send(pool, id, (base) => ({ ...base, type: "released", reason: "cannot_run" })),
  ),
  repeatEvent: (world: World, a: number, b: number) => world.repeat(poolOf(world, a), b),
  cancel: (world: World, a: number) => {
    const id = world.ids[a % Math.max(1, world.ids.length)];
    if (id !== undefined) world.shard.cancel(id, "account");
  },
  read: (world: World, a: number) => {
    const id = world.ids[a % Math.max(1, world.ids.length)];
    if (id !== undefined) world.shard.markShown(id, null);
  },
  killPool: (world: World, a: number) => {
    poolOf(world, a).alive = false;
    world.newPool();
  },
  stallPool: (world: World, a: number) => {
    poolOf(world, a).heard = false;
    world.newPool();
  },
  restartShard: (world: World) => world.restartShard(),
  restartLane: (world: World) => world.restartLane(),
  pass: (world: World, a: number) => world.pass([10, 700, 5000, 16_000, 31_000][a % 5] ?? 10),
} as const;
type StepName = keyof typeof steps;

const stepArbitrary = fc.tuple(
  fc.constantFrom<StepName>(
    ...(Object.keys(steps) as StepName[]),
    ...(["submit", "deliver", "deliver", "claim", "claim", "starting", "output", "output", "succeed", "pass"] as const),
  ),
  fc.nat(1000),
  fc.nat(1000),
);

it("keeps every invariant in any order of events", () => {
  fc.assert(
    fc.property(fc.array(stepArbitrary, { minLength: 20, maxLength: 120 }), (sequence) => {
      const world = new World();
      for (const [name, a, b] of sequence) {
        steps[name](world, a, b);
        world.check();
      }
      finishAll(world);
    }),
    { numRuns: RUNS, seed: Number(process.env["STATE_MACHINE_SEED"] ?? 20_261_122) },
  );
}, 120_000);

it("finishes what it accepted with a working pool, whatever the log lost", () => {
  const world = new World();
  const ids = Array.from({ length: 40 }, () => world.submit());
  world.exchange();
  world.produce(true);
  world.log.length = 0;
  world.restartLane();
  finishAll(world);
  for (const id of ids) expect(world.row(id).state).toBe("succeeded");
});

/** From here on one pool works faithfully; all must end, and well before their deadlines unless something was due. */
function finishAll(world: World): void {
  for (const pool of world.pools) pool.alive = false;
  world.newPool();
  const pool = world.pools.at(-1);
  if (pool === undefined) return;
  for (let round = 0; round < 400 && world.ids.some((id) => !isFinished(world.row(id).state)); round += 1) {
    world.exchange();
    world.produce(true);
    while (world.log.length > 0) {
      const answers = world.claim(pool, 0, 50, 50, true);
      if (answers.every(({ verdict }) => verdict === "later")) break;
    }
    for (const [id, held] of pool.held) {
      if (!held.running) world.send(pool, id, (base) => ({ ...base, type: "starting" }));
      world.send(pool, id, (base) => ({ ...base, type: "succeeded", output: "done" }));
      pool.held.delete(id);
    }
    world.exchange();
    world.pass(20_000);
  }
  for (const id of world.ids) expect(isFinished(world.row(id).state), `${id} is ${world.row(id).state}`).toBe(true);
}

function poolOf(world: World, pick: number): Pool {
  const pool = world.pools[pick % world.pools.length];
  if (pool === undefined) throw new Error("a world has pools");
  return pool;
}

/** A step on one claim that some pool holds. */
function on(act: (world: World, pool: Pool, id: string, a: number) => void) {
  return (world: World, a: number, b: number): void => {
    const pool = poolOf(world, a);
    const ids = [...pool.held.keys()];
    const id = ids[b % Math.max(1, ids.length)];
    if (id !== undefined) act(world, pool, id, a);
  };
}
