/**
 * Thousands of random interleavings of everything that can happen to shards, their lane and pools, against the
 * invariants.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { isFinished } from "../../src/shard/row.ts";
import { World } from "./world.ts";
import type { Pool } from "./world-pool.ts";

const RUNS = Number(process.env["STATE_MACHINE_RUNS"] ?? 500);
const SEED = Number(process.env["STATE_MACHINE_SEED"] ?? 20_261_122);
/** How long a pool with room may leave something waiting that it can run. */
const IDLE_LIMIT_MS = 1000;
const STEP_MS = 100;

const wishes = (a: number) => ({
  priority: (["high", "normal", "low"] as const)[a % 3] ?? "normal",
  accountId: `account${a % 4 === 0 ? "" : a % 4}`,
  stream: a % 4 === 0,
  resumesDeterministically: a % 5 === 0,
  cancelAfterMs: a % 7 === 0 ? 40_000 : null,
  startTimeoutMs: a % 6 === 0 ? 20_000 : 7 * 86_400_000,
});

const steps = {
  submit: (world: World, a: number) => void world.submit(wishes(a)),
  submitShort: (world: World, a: number) => void world.submit(wishes(a), { short: true }),
  submitWhileTheLaneDies: (world: World, a: number) => void world.submit(wishes(a), { short: true, laneDies: true }),
  sendGrants: (world: World) => world.sendGrants("arrives"),
  loseGrants: (world: World) => world.sendGrants("is lost"),
  grantsDoNotLeave: (world: World) => world.sendGrants("does not leave"),
  exchange: (world: World) => world.exchange(),
  act: (world: World) => world.act(),
  actUnheard: (world: World) => world.act(false),
  tell: (world: World, a: number) => poolOf(world, a).alive && world.tell(poolOf(world, a)),
  tellStale: (world: World, a: number) => poolOf(world, a).alive && world.tell(poolOf(world, a), true),
  poll: (world: World, a: number) => world.poll(poolOf(world, a), true),
  pollUnanswered: (world: World, a: number) => world.poll(poolOf(world, a), false),
  produce: (world: World) => world.produce(true),
  deliver: (world: World) => {
    world.exchange();
    world.produce(true);
    world.act();
    world.sendGrants("arrives");
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
  failInput: on((world, pool, id) =>
    world.send(pool, id, (base) => ({
      ...base,
      type: "failed",
      kind: "input",
      error: { code: "invalid_input", message: "no such file" },
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
    if (id !== undefined) world.shardFor(id).cancel(id, world.row(id).accountId);
  },
  read: (world: World, a: number) => {
    const id = world.ids[a % Math.max(1, world.ids.length)];
    if (id !== undefined) world.shardFor(id).markShown(id, null);
  },
  killPool: (world: World, a: number) => {
    world.kill(poolOf(world, a));
    world.tell(world.newPool());
  },
  stallPool: (world: World, a: number) => {
    poolOf(world, a).heard = false;
    world.tell(world.newPool());
  },
  wakePool: (world: World, a: number) => {
    poolOf(world, a).heard = true;
  },
  restartShards: (world: World) => world.restartShards(),
  restartLane: (world: World) => world.restartLane(),
  pass: (world: World, a: number) => world.pass([10, 300, 700, 5000, 16_000, 31_000][a % 6] ?? 10),
} as const;
type StepName = keyof typeof steps;

const stepArbitrary = fc.tuple(
  fc.constantFrom<StepName>(
    ...(Object.keys(steps) as StepName[]),
    ...([
      "submit",
      "submitShort",
      "submitShort",
      "sendGrants",
      "sendGrants",
      "deliver",
      "deliver",
      "claim",
      "poll",
    ] as const),
    ...(["starting", "output", "output", "succeed", "pass"] as const),
  ),
  fc.nat(1000),
  fc.nat(1000),
);
const sequences = fc.array(stepArbitrary, { minLength: 20, maxLength: 120 });
/** Shards that die before their lane heard of a grant which comes to nothing. */
const forgetful: [[StepName, number, number][], number][] = [
  [
    [
      ...several(4, "submit"),
      ["deliver", 0, 0],
      ...several(7, "submit"),
      ["claimUnanswered", 0, 62],
      ...several(3, "submit"),
      ["pass", 703, 0],
      ["submit", 0, 0],
      ["poll", 0, 0],
      ["restartShards", 0, 0],
      ["submit", 0, 0],
    ],
    0,
  ],
  [
    [
      ...(["submit", "deliver", "restartLane", "poll", "restartShards"] as const).flatMap((name) => several(1, name)),
      ...several(3, "submit"),
      ["handBack", 0, 0],
      ...several(15, "submit"),
    ],
    0,
  ],
];
/** Which shard has what, and the order of what came at once, go by the ids. */
const idSeeds = fc.nat();

it("keeps every invariant in any order of events", () => {
  fc.assert(
    fc.property(sequences, idSeeds, (sequence, idSeed) => {
      const world = run(sequence, idSeed);
      finishAll(world);
    }),
    { numRuns: RUNS, seed: SEED },
  );
}, 120_000);

it("leaves no pool with room idle for more than a second while something waits that it can run", () => {
  fc.assert(
    fc.property(sequences, idSeeds, (sequence, idSeed) => {
      const world = run(sequence, idSeed);
      for (const pool of world.pools) pool.heard = pool.alive;
      const seenWaiting = new Map<string, number>();
      for (let at = 0; at < 5000; at += STEP_MS) {
        calmStep(world);
        for (const id of world.ids) noteWaiting(world, id, seenWaiting);
      }
    }),
    { numRuns: Math.ceil(RUNS / 3), seed: SEED, examples: forgetful },
  );
}, 120_000);

it("ends nothing by ten grants in a row that are lost, and counts each start", () => {
  const world = new World();
  const id = world.submit({}, { short: true });
  for (let lost = 0; lost < 10; lost += 1) {
    expect(world.row(id).state).not.toBe("waiting");
    world.sendGrants("is lost");
    world.pass(500);
    expect(world.row(id)).toMatchObject({ state: "waiting", startedAt: null, losses: 0 });
    for (let at = 0; at < IDLE_LIMIT_MS && world.row(id).state === "waiting"; at += STEP_MS) {
      world.exchange();
      world.pass(STEP_MS);
      for (const pool of world.pools) world.tell(pool);
      world.act(false);
    }
  }
  finishAll(world);
  expect(world.row(id).state).toBe("succeeded");
});

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

function run(sequence: readonly (readonly [StepName, number, number])[], idSeed: number): World {
  const world = new World(idSeed);
  for (const [name, a, b] of sequence) {
    steps[name](world, a, b);
    world.check();
  }
  return world;
}

function several(count: number, name: StepName): [StepName, number, number][] {
  return Array.from({ length: count }, () => [name, 0, 0]);
}

/** A tenth of a second in which everything works; pools finish at once what they hold. */
function calmStep(world: World): void {
  world.exchange();
  for (const pool of world.pools) {
    if (!pool.alive) continue;
    finishHeld(world, pool);
    world.tell(pool);
    if (pool.isDue) world.poll(pool, true);
  }
  world.act();
  world.sendGrants("arrives");
  world.pass(STEP_MS);
}

/** A second is the limit for each pool that got nothing, but for what waits by its own back-off. */
function noteWaiting(world: World, id: string, since: Map<string, number>): void {
  const { state, losses, handBacks } = world.row(id);
  const isExcepted = losses > 0 || handBacks > 1;
  if (state !== "waiting" || isExcepted) return void since.delete(id);
  const first = since.get(id) ?? world.now;
  since.set(id, first);
  for (const { session, alive, gotAt } of world.pools) {
    const idleMs = world.now - Math.max(first, gotAt);
    if (alive && idleMs > IDLE_LIMIT_MS) throw new Error(`${session} was idle for ${idleMs} ms while ${id} waited`);
  }
}

/** From here on one pool works faithfully; all must end, and well before their deadlines unless something was due. */
function finishAll(world: World): void {
  for (const pool of world.pools) world.kill(pool);
  const pool = world.newPool();
  for (let round = 0; round < 400 && world.ids.some((id) => !isFinished(world.row(id).state)); round += 1) {
    world.tell(pool);
    world.exchange();
    world.produce(true);
    world.act();
    world.sendGrants("arrives");
    finishHeld(world, pool);
    world.exchange();
    world.pass(round % 2 === 0 ? 600 : 20_000);
  }
  for (const id of world.ids) expect(isFinished(world.row(id).state), `${id} is ${world.row(id).state}`).toBe(true);
}

function finishHeld(world: World, pool: Pool): void {
  for (const [id, held] of [...pool.held]) {
    if (!held.running) world.send(pool, id, (base) => ({ ...base, type: "starting" }));
    world.send(pool, id, (base) => ({ ...base, type: "succeeded", output: "done" }));
    world.drop(pool, id);
  }
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
