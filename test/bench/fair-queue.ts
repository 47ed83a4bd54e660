/**
 * What a decision of the lane takes, and what memory what waits takes. The real core on SQLite in memory, whose rows
 * lie outside the measured heap, as they do in workerd.
 *
 *     node test/bench/fair-queue.ts [--rounds 5]
 */
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { LaneCore } from "../../src/lane/core.ts";
import { FairQueue } from "../../src/lane/fair-queue.ts";
import type { FairFlow } from "../../src/lane/fair-queue.ts";
import type { LaneEntry } from "../../src/lane/types.ts";
import { memorySql } from "../unit/memory-sql.ts";
import { offerHelp } from "./lib/help.ts";
import { judge, printJudged } from "./lib/limits.ts";
import { machine, versions } from "./lib/machine.ts";
import { median, spread, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const DECISIONS = 200_000;
const SHORT_WAYS = 5000;
const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function entryOf(index: number, accounts: number): LaneEntry {
  return {
    id: `${String(index).padStart(8, "0")}${"x".repeat(22)}`,
    account: `acct_${String(index % accounts).padStart(20, "0")}`,
    weight: 1,
    priority: "normal",
    cost: 1,
    model: "local/model",
    version: "e".repeat(64),
    createdAt: 1_000_000 + index,
    startBy: 2_000_000,
    traceparent: null,
  };
}

/** The decision by itself: the next flow, its charge, and its new place. */
function decide(waiting: number, accounts: number): number {
  const fair = new FairQueue<FairFlow>(
    (flow) => flow,
    () => {},
    () => true,
  );
  const node = fair.createNode("m");
  for (let account = 0; account < accounts; account += 1) {
    fair.setBacklog(fair.createFlow(node, `a${account}`, "normal", 1 + (account % 3)), Math.ceil(waiting / accounts));
  }
  const begin = performance.now();
  for (let index = 0; index < DECISIONS; index += 1) {
    const flow = fair.next(node);
    if (flow === null) throw new Error("nothing waits");
    fair.charge(flow, 100 + (index % 7));
  }
  return ((performance.now() - begin) * 1000) / DECISIONS;
}

/** A poll that takes one, and the shard's word that it was granted: with its rows. */
function hand(waiting: number, accounts: number): { takeUs: number; grantUs: number } {
  const core = new LaneCore(memorySql(), { now: () => 2_000_000 });
  for (let at = 0; at < waiting; at += 500) {
    core.offer(Array.from({ length: Math.min(500, waiting - at) }, (_, index) => entryOf(at + index, accounts)));
  }
  const rooms = new Map([[`local/model ${"e".repeat(64)}`, { room: 1, startNow: 1 }]]);
  const count = Math.min(2000, waiting);
  let takeMs = 0;
  let grantMs = 0;
  for (let index = 0; index < count; index += 1) {
    const begin = performance.now();
    const taken = core.take("session-1", rooms, 1);
    const middle = performance.now();
    core.granted(taken.map((entry) => ({ ...entry, session: "session-1" })));
    grantMs += performance.now() - middle;
    takeMs += middle - begin;
    const ids = taken.map(({ id }) => id);
    core.tell({
      session: "session-1",
      n: index,
      full: false,
      models: [],
      seen: ids,
      ended: ids.map((id) => ({ id, ms: 100 })),
    });
  }
  return { takeUs: (takeMs * 1000) / count, grantUs: (grantMs * 1000) / count };
}

/** All that a prediction asks of its lane on the short way, where so many sessions have room. */
function shortWayUs(sessions: number): number {
  let now = 2_000_000;
  const core = new LaneCore(memorySql(), { now: () => now });
  const running: [id: string, session: string][] = [];
  let n = 0;
  const tell = (session: string, room: number, seen: string[], ended: { id: string; ms: number }[]) => {
    n += 1;
    const model = { model: "local/model", version: "e".repeat(64), room, startNow: room, readyInMs: 0, problem: null };
    core.tell({ session, n, full: false, models: [model], seen, ended });
    core.due();
  };
  for (let index = 0; index < sessions; index += 1) tell(`session-${index}`, 2, [], []);
  const begin = performance.now();
  for (let index = 0; index < SHORT_WAYS; index += 1) {
    now += 2;
    const entry = entryOf(index, 1);
    const [answer] = core.reserve([entry]);
    if (answer?.outcome !== "reserved") throw new Error("no session has room");
    core.due();
    core.granted([{ ...entry, session: answer.session }]);
    tell(answer.session, 1, [entry.id], []);
    running.push([entry.id, answer.session]);
    const [id, session] = running.length > sessions / 2 ? (running.shift() ?? []) : [];
    if (id !== undefined && session !== undefined) tell(session, 2, [], [{ id, ms: 400 }]);
  }
  return ((performance.now() - begin) * 1000) / SHORT_WAYS;
}

/** Heap of a lane with so much waiting, once opened again from its rows and once as it was filled. */
function heapOf(waiting: number, accounts: number): { filledMiB: number; openedMiB: number; openMs: number } {
  const sql = memorySql();
  const heap = (): number => {
    collect();
    return process.memoryUsage().heapUsed / 1_048_576;
  };
  const before = heap();
  let core: LaneCore | null = new LaneCore(sql, { now: () => 2_000_000 });
  for (let at = 0; at < waiting; at += 500) {
    core.offer(Array.from({ length: 500 }, (_, index) => entryOf(at + index, accounts)));
  }
  const filledMiB = heap() - before;
  if (!core.hasWaiting()) throw new Error("nothing waits");
  core = null;
  const empty = heap();
  const begin = performance.now();
  core = new LaneCore(sql, { now: () => 2_000_000 });
  const openMs = performance.now() - begin;
  const openedMiB = heap() - empty;
  if (!core.hasWaiting()) throw new Error("nothing waits");
  return { filledMiB, openedMiB, openMs };
}

console.log(`machine: ${machine()}`);
console.log(`versions: ${versions([])}`);
const cases = [
  [10_000, 50],
  [10_000, 10_000],
] as const;
const decisions = cases.map(([waiting, accounts]) => {
  const decideUs: number[] = [];
  const hands: ReturnType<typeof hand>[] = [];
  decide(waiting, accounts);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    decideUs.push(decide(waiting, accounts));
    hands.push(hand(waiting, accounts));
  }
  return [
    `${waiting} waiting of ${accounts} accounts`,
    spread(decideUs, 2),
    judge(median(decideUs), { must: 50, aim: 10, unit: " µs" }),
    spread(hands.map(({ takeUs }) => takeUs)),
    spread(hands.map(({ grantUs }) => grantUs)),
  ];
});
const isMet = printJudged(
  ["", "decision, µs", "must", "take of one, SQLite included, µs", "its grant, SQLite included, µs"],
  decisions,
);
shortWayUs(100);
console.log(
  table(
    ["sessions with room", "a prediction's reservation, grant and two statements, µs"],
    [100, 1000, 10_000].map((sessions) => [
      String(sessions),
      spread(Array.from({ length: Number(values.rounds) }, () => shortWayUs(sessions))),
    ]),
  ),
);
const fillings = [
  [100_000, 50],
  [100_000, 2000],
  [10_000, 10_000],
] as const;
const memory = fillings.map(([waiting, accounts]) => {
  const { filledMiB, openedMiB, openMs } = heapOf(waiting, accounts);
  return [`${waiting} waiting of ${accounts} accounts`, filledMiB.toFixed(1), openedMiB.toFixed(1), openMs.toFixed(0)];
});
console.log(table(["heap, MiB", "as it was filled", "opened again", "opened in, ms"], memory));
process.exitCode = isMet ? 0 : 1;
