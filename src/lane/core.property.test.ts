/** Random histories of a lane against what must always hold, shrunk to the shortest that breaks it. */
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { priorities } from "../contract/prediction.ts";
import { LaneCore } from "./core.ts";
import type { LaneEntry } from "./types.ts";

const RUNS = Number(process.env["LANE_RUNS"] ?? 300);
const SESSIONS = ["s0", "s1", "s2"];
const VERSIONS = ["v0", "v1"];

/** What a shard knows of its predictions, and a pool of its room. */
class World {
  now = 1_000_000;
  readonly sql = memorySql();
  lane = this.open();
  readonly entries = new Map<string, LaneEntry>();
  /** Rows that the lane must have. */
  readonly waiting = new Set<string>();
  /** Handed to a session at this time, not granted. */
  readonly handed = new Map<string, { session: string; at: number }>();
  readonly reserved = new Map<string, { session: string; at: number }>();
  readonly running = new Map<string, { session: string; isSeen: boolean }>();
  readonly told = new Map<string, number>();
  #made = 0;
  #n = 0;

  open(): LaneCore {
    return new LaneCore(this.sql, { now: () => this.now });
  }

  create(a: number): LaneEntry {
    this.#made += 1;
    const entry: LaneEntry = {
      id: `p${this.#made}`,
      account: `a${a % 4}`,
      weight: 1 + (a % 3),
      priority: priorities[a % 3] ?? "normal",
      cost: 1,
      model: "m/m",
      version: VERSIONS[(a >> 2) % 2] ?? "v0",
      createdAt: this.now - (a % 5),
      startBy: this.now + 1e9,
      traceparent: a % 2 === 0 ? null : "00-trace",
    };
    this.entries.set(entry.id, entry);
    return entry;
  }

  tell(session: string, room: number): void {
    this.#n += 1;
    const seen = [...this.running].filter(([, run]) => run.session === session && !run.isSeen).map(([id]) => id);
    for (const id of seen) this.running.set(id, { session, isSeen: true });
    this.told.set(session, room);
    const models = VERSIONS.map((version) => ({
      model: "m/m",
      version,
      room,
      startNow: room,
      readyInMs: 0,
      problem: null,
    }));
    this.lane.tell({ session, n: this.#n, full: true, models, seen, ended: [] });
  }

  /** Handed out: it waited, nobody else had it, and it is what was offered. */
  handOut(session: string, handed: readonly LaneEntry[]): void {
    for (const entry of handed) {
      must(isDeepStrictEqual(entry, this.entries.get(entry.id)), "an entry comes as it was offered");
      must(this.waiting.has(entry.id), "only what waits is handed out");
      const before = this.handed.get(entry.id);
      must(before === undefined || this.now - before.at >= 1500, "nobody else has it in hand");
      this.handed.set(entry.id, { session, at: this.now });
    }
  }

  grant(id: string, session: string): void {
    const entry = this.entries.get(id);
    if (entry === undefined) return;
    this.waiting.delete(id);
    this.handed.delete(id);
    this.reserved.delete(id);
    this.running.set(id, { session, isSeen: false });
    this.lane.granted([{ ...entry, session }]);
  }
}

type Step = (world: World, a: number, b: number) => void;
const nth = <T>(items: Iterable<T>, index: number): T | undefined => {
  const all = [...items];
  return all[index % Math.max(1, all.length)];
};
const sessionOf = (a: number): string => SESSIONS[a % 3] ?? "s0";

const steps = {
  offer: (world, a, b) => {
    const entries = Array.from({ length: 1 + (b % 6) }, (_, index) => world.create(a + index * (b % 3)));
    world.lane.offer(entries);
    for (const { id } of entries) world.waiting.add(id);
  },
  offerAgain: (world, a) => {
    const id = nth(world.waiting, a);
    const entry = id === undefined ? undefined : world.entries.get(id);
    if (entry === undefined) return;
    const first = world.lane.offer([entry]).tickets[entry.id];
    must(isDeepStrictEqual(world.lane.offer([entry]).tickets[entry.id], first), "a known id keeps its ticket");
  },
  unseen: (world, a) => {
    const id = nth(world.running.keys(), a);
    const entry = id === undefined ? undefined : world.entries.get(id);
    if (id === undefined || entry === undefined) return;
    world.running.delete(id);
    world.lane.offer([entry]);
    world.waiting.add(id);
  },
  /** Its shard granted it, and forgot to say so before the grant came to nothing. */
  cameBackUnheard: (world, a) => {
    const [id] = nth(world.handed, a) ?? [];
    const entry = id === undefined ? undefined : world.entries.get(id);
    if (id === undefined || entry === undefined) return;
    world.handed.delete(id);
    world.lane.offer([{ ...entry, isBack: true }]);
    must(!world.lane.backlog.marks.has(id), "nobody has in hand what came back");
  },
  withdraw: (world, a) => {
    const id = nth(world.waiting, a);
    const entry = id === undefined ? undefined : world.entries.get(id);
    if (id === undefined || entry === undefined) return;
    world.waiting.delete(id);
    world.handed.delete(id);
    world.lane.withdraw([entry]);
  },
  reserve: (world, a) => {
    const entry = world.create(a);
    const waits = [...world.waiting].filter(
      (id) => world.entries.get(id)?.version === entry.version && !world.handed.has(id),
    );
    const [answer] = world.lane.reserve([entry]);
    if (answer?.outcome !== "reserved") return;
    must(waits.length === 0, "nobody is passed");
    const { session } = answer;
    const held = [...world.reserved.values()].filter(
      (one) => one.session === session && world.now - one.at < 250,
    ).length;
    must(held < (world.told.get(session) ?? 0), "no more is reserved than was told");
    world.reserved.set(entry.id, { session, at: world.now });
  },
  grantReserved: (world, a) => {
    const [id, one] = nth(world.reserved, a) ?? [];
    if (id !== undefined && one !== undefined) world.grant(id, one.session);
  },
  unused: (world, a) => {
    const [id] = nth(world.reserved, a) ?? [];
    if (id === undefined) return;
    world.reserved.delete(id);
    world.lane.unused([id]);
  },
  poll: (world, a, b) => {
    const session = sessionOf(a);
    const room = b % 5;
    world.told.set(session, room);
    const rooms = new Map(VERSIONS.map((version) => [`m/m ${version}`, { room, startNow: room }]));
    const taken = world.lane.take(session, rooms, 6);
    for (const version of VERSIONS)
      must(
        taken.filter((one) => one.version === version).length <= room,
        "no more of a version than there is room for",
      );
    must(taken.length <= 6, "no more than was asked for");
    world.handOut(session, taken);
  },
  grantHanded: (world, a) => {
    const [id, one] = nth(world.handed, a) ?? [];
    if (id !== undefined && one !== undefined) world.grant(id, one.session);
  },
  grantTwice: (world, a) => {
    const [id, one] = nth(world.running, a) ?? [];
    const entry = id === undefined ? undefined : world.entries.get(id);
    if (one !== undefined && entry !== undefined) world.lane.granted([{ ...entry, session: one.session }]);
  },
  tell: (world, a, b) => world.tell(sessionOf(a), b % 5),
  gone: (world, a) => {
    const session = sessionOf(a);
    world.lane.gone(session);
    world.told.delete(session);
    for (const [id, one] of world.handed) if (one.session === session) world.handed.delete(id);
    for (const [id, one] of world.reserved) if (one.session === session) world.reserved.delete(id);
    for (const [id, one] of world.running) if (one.session === session) world.running.delete(id);
  },
  due: (world) => {
    const due = world.lane.due();
    must(due.nextAt === null || due.nextAt >= world.now, "what is due later is later");
    for (const [session, entries] of due.pushes) world.handOut(session, entries);
  },
  end: (world, a) => {
    const [id, one] = nth(world.running, a) ?? [];
    if (id === undefined || one === undefined) return;
    world.running.delete(id);
    world.lane.tell({ session: one.session, n: 0, full: false, models: [], seen: [], ended: [{ id, ms: a }] });
  },
  restart: (world) => {
    world.lane = world.open();
    world.handed.clear();
    world.reserved.clear();
    world.running.clear();
    world.told.clear();
  },
  pass: (world, a) => {
    world.now += [1, 100, 260, 600, 1600][a % 5] ?? 1;
  },
} satisfies Record<string, Step>;

const names = Object.keys(steps) as (keyof typeof steps)[];
const history = fc.array(
  fc.tuple(
    fc.constantFrom(...names, "offer", "poll", "poll", "grantHanded", "tell", "due", "pass"),
    fc.nat(1000),
    fc.nat(1000),
  ),
  {
    minLength: 5,
    maxLength: 80,
  },
);

it("holds what must hold in any history", () => {
  fc.assert(
    fc.property(history, (played) => {
      const world = new World();
      for (const [name, a, b] of played) {
        steps[name](world, a, b);
        const { waiting, inFlight } = world.lane.stats();
        must(waiting.high + waiting.normal + waiting.low === world.waiting.size, "the counts are right");
        must(world.lane.hasWaiting() === world.waiting.size > 0, "it knows whether something waits");
        must(inFlight >= world.running.size, "what runs is counted");
      }
      drain(world);
    }),
    { numRuns: RUNS },
  );
}, 60_000);

/** Everything that waits is handed out in the end, in each flow oldest first, and nothing stays in memory. */
function drain(world: World): void {
  world.now += 5000;
  const rooms = new Map(VERSIONS.map((version) => [`m/m ${version}`, { room: 1000, startNow: 1000 }]));
  const all = world.lane.take("drain", rooms, 10_000);
  must(isDeepStrictEqual(new Set(all.map(({ id }) => id)), world.waiting), "all that waits gets its turn");
  const last = new Map<string, LaneEntry>();
  for (const entry of all) {
    const flow = `${entry.account} ${entry.priority} ${entry.version}`;
    const before = last.get(flow);
    must(before === undefined || before.createdAt <= entry.createdAt, "an account is served oldest first");
    last.set(flow, entry);
  }
  world.lane.granted(all.map((entry) => ({ ...entry, session: "drain" })));
  must(!world.lane.hasWaiting(), "nothing waits in the end");
  must(world.sql("SELECT * FROM waiting").length + world.sql("SELECT * FROM flow").length === 0, "no row stays");
  for (const session of [...SESSIONS, "drain"]) world.lane.gone(session);
  world.now += 5000;
  world.lane.due();
  const { loaded, marks, holds } = world.lane.memory();
  must(loaded + marks + holds === 0, "nothing stays in memory");
  must(world.lane.due().nextAt === null, "an idle lane sets no timer");
}

function must(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(`must hold: ${what}`);
}
