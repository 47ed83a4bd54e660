/**
 * A whole system in one thread, for random interleavings: two shards and one lane on real SQL, a log that loses,
 * repeats and re-orders, and pools that die, stall, rest, come back, lose grants and repeat themselves. Time moves only
 * when told to.
 */
import type { ModelRoom } from "../../src/contract/channel.ts";
import type { ClaimAnswer } from "../../src/contract/claim.ts";
import type { PoolEvent } from "../../src/contract/event.ts";
import { shardOf } from "../../src/contract/ids.ts";
import { LaneCore } from "../../src/lane/core.ts";
import { versionKey } from "../../src/lane/types.ts";
import type { LaneEntry, Reservation } from "../../src/lane/types.ts";
import { ShardCore } from "../../src/shard/core.ts";
import { entryOf } from "../../src/shard/outgoing.ts";
import { newRow } from "../../src/shard/new-row.ts";
import { isFinished } from "../../src/shard/row.ts";
import type { Row, State } from "../../src/shard/row.ts";
import { defaultRules } from "../../src/shard/rules.ts";
import type { Submission } from "../../src/shard/types.ts";
import { memorySql } from "./memory-sql.ts";
import { seededIds } from "./minted-ids.ts";
import { submission } from "./submission.ts";
import { checkRow, createPool, isInputFault, measured, withoutUsage } from "./world-pool.ts";
import type { Held, Pool } from "./world-pool.ts";

const LANE = "default";
const SHARDS = 2;
/** What a pool of this world holds of one model at most, and starts at once. */
const CAPACITY = 3;

/** What becomes of a grant that leaves over a channel. */
export type Delivery = "arrives" | "is lost" | "does not leave";

export class World {
  now = 1_700_000_000_000;
  readonly log: LaneEntry[] = [];
  readonly pools: Pool[] = [];
  readonly ids: string[] = [];
  /** Runs that began, per prediction: what the shard must have counted before. */
  readonly runs = new Map<string, number>();
  /** The final state of each prediction when it was first seen to be final, and its output. */
  readonly finals = new Map<string, { state: State; output: string }>();
  readonly #shardSqls = Array.from({ length: SHARDS }, () => memorySql());
  readonly #laneSql = memorySql();
  /** Sessions whose unanswered grants are asked about when their time has come. */
  #unanswered: { at: number; claims: { id: string; token: string }[] }[] = [];
  #tokens = 0;
  readonly #mintId: (nowMs: number) => string;
  shards: ShardCore[];
  lane: LaneCore;

  /** `idSeed`: draws its predictions' ids. */
  constructor(idSeed = 1) {
    this.#mintId = seededIds(idSeed, SHARDS);
    this.shards = this.#shardSqls.map((_, index) => this.#newShard(index));
    this.lane = this.#newLane();
    for (let index = 0; index < 2; index += 1) this.tell(this.newPool());
  }

  newPool(): Pool {
    const pool = createPool(`session-${this.pools.length}`, this.now);
    this.pools.push(pool);
    return pool;
  }

  /**
   * Accepts one; `short`: its lane is asked for room first, and forgets all that it knows before it is stored when
   * `laneDies`.
   */
  submit(overrides: Partial<Submission> = {}, way: { short: boolean; laneDies?: boolean } = { short: false }): string {
    const id = this.#mintId(this.now);
    const wanted = { ...submission(id), keyed: !way.short, ...overrides };
    let reservation: Reservation = { outcome: "waits" };
    if (way.short) {
      [reservation = reservation] = this.lane.reserve([entryOf(newRow(wanted, this.now, defaultRules))]);
      if (way.laneDies === true) this.restartLane();
    }
    const accepted = this.shardFor(id).submit(wanted, reservation);
    if (accepted === null || !accepted.created) throw new Error("a fresh id was refused");
    this.ids.push(id);
    this.check();
    return id;
  }

  shardFor(id: string): ShardCore {
    const shard = this.shards[shardOf(id)];
    if (shard === undefined) throw new Error(`no shard has ${id}`);
    return shard;
  }

  /** Grants leave for their pools. */
  sendGrants(delivery: Delivery): void {
    for (const shard of this.shards) {
      for (const [session, grants] of [...shard.outgoing.grants]) {
        shard.outgoing.grants.delete(session);
        const pool = this.pools.find((one) => one.session === session);
        const claims = grants.map(({ id, token }) => ({ id, token }));
        if (delivery === "does not leave" || pool?.alive !== true) {
          shard.granting.undelivered(claims);
          continue;
        }
        this.#unanswered.push({ at: this.now + 500, claims });
        if (delivery === "arrives" && pool.heard) for (const grant of grants) this.#accept(pool, grant);
      }
    }
    this.check();
  }

  /** News from the shards to the lane. */
  exchange(): void {
    for (const shard of this.shards) {
      const { outgoing } = shard;
      this.lane.withdraw(outgoing.withdrawals.get(LANE) ?? []);
      this.lane.granted(outgoing.granted.get(LANE) ?? []);
      this.lane.unused(outgoing.unused.get(LANE) ?? []);
      const { failed } = this.lane.offer([...(outgoing.hands.get(LANE)?.values() ?? [])]);
      for (const news of [outgoing.withdrawals, outgoing.granted, outgoing.unused, outgoing.hands]) news.delete(LANE);
      for (const [id, error] of Object.entries(failed)) shard.granting.failWaiting([id], error);
      for (const [account, feeds] of outgoing.feeds) {
        outgoing.acknowledgeFeed(feeds);
        outgoing.feeds.delete(account);
      }
      for (const [session, claims] of outgoing.stops) {
        for (const { id } of claims)
          this.drop(
            this.pools.find((pool) => pool.session === session),
            id,
          );
        outgoing.stops.delete(session);
      }
    }
  }

  /** The lane does what it has to do now; a pool that is heard polls when it is told that there is work. */
  act(isHeard = true): void {
    const due = this.lane.due();
    for (const [session, entries] of due.pushes) {
      for (const { id } of entries) this.shardFor(id).granting.push(session, [id]);
    }
    for (const { entries, error } of due.fail)
      for (const { id } of entries) this.shardFor(id).granting.failWaiting([id], error);
    if (isHeard) {
      for (const session of due.work) this.poll(this.#reachable(session), true);
      for (const session of due.tell) {
        const pool = this.#reachable(session);
        if (pool === undefined) continue;
        this.tell(pool);
      }
    }
    this.check();
  }

  /** The pool's process ends, and with it its channel. */
  kill(pool: Pool): void {
    pool.alive = false;
    this.lane.gone(pool.session);
  }

  /** A pool polls its topics; the answer may be lost on its way. */
  poll(pool: Pool | undefined, answerArrives: boolean): void {
    if (pool?.alive !== true) return;
    const rooms = new Map([[versionKey(this.#room(pool)), this.#room(pool)]]);
    const entries = this.lane.take(pool.session, rooms, 10);
    pool.isDue = !answerArrives || entries.length > 0;
    for (const { id } of entries) {
      const [answer] = this.shardFor(id).claim({ session: pool.session, jobs: [{ id, startNow: true }] }, [LANE]);
      if (answerArrives && answer !== undefined) this.#accept(pool, answer);
    }
    this.check();
  }

  /** A pool states its room. `isStale`: the statement was made before what it got since. */
  tell(pool: Pool, isStale = false): void {
    pool.statements += 1;
    const { seen, ended } = pool;
    if (!isStale) [pool.seen, pool.ended] = [[], []];
    this.lane.tell({
      session: pool.session,
      n: pool.statements,
      full: true,
      models: [isStale ? { ...this.#room(pool), room: CAPACITY, startNow: CAPACITY } : this.#room(pool)],
      seen: isStale ? [] : seen,
      ended: isStale ? [] : ended,
    });
  }

  /** The lane releases hints into a real Kafka. */
  produce(succeeds: boolean): void {
    const batch = this.lane.release(20);
    if (succeeds) this.log.push(...batch);
    this.lane.released(
      batch.map(({ id }) => id),
      succeeds,
    );
  }

  /** A pool takes up to `count` records from anywhere in the log and claims them. */
  claim(pool: Pool, at: number, count: number, starts: number, answerArrives: boolean): ClaimAnswer[] {
    if (!pool.alive) return [];
    const records = this.log.splice(at % Math.max(1, this.log.length), count);
    const jobs = records.map(({ id }, index) => ({ id, startNow: index < starts }));
    const finished = new Set(jobs.filter(({ id }) => isFinished(this.row(id).state)).map(({ id }) => id));
    const attempts = this.#attempts(jobs);
    const answers = jobs.flatMap((job) => this.shardFor(job.id).claim({ session: pool.session, jobs: [job] }, [LANE]));
    for (const { id, verdict } of answers) {
      if (verdict === "granted" && finished.has(id)) throw new Error(`${id} was granted after its end`);
    }
    const started = this.#attempts(jobs) - attempts;
    if (started > starts) throw new Error(`${started} starts were counted where ${starts} were asked for`);
    if (answerArrives) for (const answer of answers) this.#accept(pool, answer);
    // A record is read again until its claim is answered.
    if (!answerArrives) this.log.push(...records);
    this.log.push(
      ...records.filter(({ id }) => answers.some((answer) => answer.id === id && answer.verdict === "later")),
    );
    this.check();
    return answers;
  }

  /** A pool makes its claim's next event, and sends it. */
  send(pool: Pool, id: string, make: (base: { id: string; token: string; seq: number }) => PoolEvent): void {
    const held = pool.held.get(id);
    if (!pool.alive || held === undefined) return;
    const event = measured(make({ id, token: held.grant.token, seq: held.seq }), held.running);
    const needsStart = event.type !== "starting" && event.type !== "released" && !isInputFault(event);
    if (needsStart && !held.running) return;
    if (event.type === "starting") held.chunks = 0;
    held.seq += 1;
    held.sent.push(event);
    this.#deliver(pool, held, [event]);
  }

  /** A chunk of output tells its number, so that a gap or a repetition shows. */
  output(pool: Pool, id: string): void {
    this.send(pool, id, (base) => {
      const held = pool.held.get(id);
      const chunk = held?.chunks ?? 0;
      if (held !== undefined) held.chunks += 1;
      return { ...base, type: "output", chunk };
    });
  }

  /** Something that was sent before arrives again, from whichever pool, dead or alive. */
  repeat(pool: Pool, pick: number): void {
    const all = [...pool.held.values()].flatMap((held) => held.sent.map((event) => ({ held, event })));
    const chosen = all[pick % Math.max(1, all.length)];
    if (chosen !== undefined) this.#deliver(pool, chosen.held, [chosen.event]);
  }

  /** The pool is done with it. */
  drop(pool: Pool | undefined, id: string): void {
    if (pool?.held.delete(id) === true) pool.ended.push({ id, ms: 100 });
  }

  /** The objects die and come back with nothing but their rows. */
  restartShards(): void {
    this.shards = this.shards.map((_, index) => this.#newShard(index));
    for (const shard of this.shards) {
      shard.recovery.begin();
      while (shard.recovery.more());
    }
    this.#unanswered = [];
  }

  restartLane(): void {
    this.lane = this.#newLane();
  }

  /** Time passes; live pools are heard of, and what falls due is handled. */
  pass(ms: number): void {
    this.now += ms;
    for (const pool of this.pools) if (pool.alive && pool.heard) pool.heardAt = this.now;
    const asked = this.#unanswered.filter(({ at }) => at <= this.now);
    this.#unanswered = this.#unanswered.filter(({ at }) => at > this.now);
    for (const shard of this.shards) {
      for (const { claims } of asked) {
        this.#judge(shard, shard.granting.unanswered(claims.filter(({ id }) => this.shardFor(id) === shard)));
      }
      for (let more = true; more;) {
        const woken = shard.wake();
        ({ more } = woken);
        this.#judge(shard, woken.checks);
      }
      shard.flush();
    }
    this.check();
  }

  row(id: string): Row {
    const row = this.shardFor(id).store.get(id);
    if (row === null) throw new Error(`accepted and not stored: ${id}`);
    return row;
  }

  /** The invariants that hold at every moment. */
  check(): void {
    for (const id of this.ids) {
      const row = this.row(id);
      if ((this.runs.get(id) ?? 0) > row.attempt) throw new Error(`${id} ran before its start was counted`);
      const frames = this.shardFor(id).frames(id, null, -1)?.frames ?? [];
      const chunks = frames.filter(({ type, data }) => type === "output" && typeof data === "number");
      const odd = chunks.find(({ data }, index) => data !== index);
      if (odd !== undefined) throw new Error(`${id} shows chunk ${String(odd.data)} out of its turn`);
      checkRow(row);
      if (!isFinished(row.state)) continue;
      const final = { state: row.state, output: JSON.stringify(row.output) };
      const first = this.finals.get(id) ?? final;
      this.finals.set(id, first);
      if (first.state !== final.state || first.output !== final.output) throw new Error(`${id} ended twice`);
    }
  }

  #judge(shard: ShardCore, checks: ReadonlyMap<string, string[]>): void {
    for (const [session, ids] of checks) {
      const pool = this.pools.find((one) => one.session === session);
      const remainingMs = pool === undefined ? 0 : pool.heardAt + defaultRules.leaseMs - this.now;
      if (pool?.alive === true && pool.heard) this.#probe(pool, ids);
      shard.judge(session, ids, { alive: remainingMs > 0, remainingMs });
    }
  }

  #room(pool: Pool): ModelRoom {
    const { model } = submission("");
    const room = pool.alive ? Math.max(0, CAPACITY - pool.held.size) : 0;
    return {
      ...{ model: `${model.owner}/${model.name}`, version: model.version },
      ...{ room, startNow: room, readyInMs: 0, problem: null },
    };
  }

  #reachable(session: string): Pool | undefined {
    return this.pools.find((pool) => pool.session === session && pool.alive && pool.heard);
  }

  #deliver(pool: Pool, held: Held, events: PoolEvent[]): void {
    const before = this.row(held.grant.id);
    const shard = this.shardFor(before.id);
    const [verdict] = shard.deliver(events, pool.session, [LANE]).verdicts;
    if (before.token !== held.grant.token && withoutUsage(this.row(before.id)) !== withoutUsage(before)) {
      throw new Error(`${before.id} was changed by a token that is not its latest`);
    }
    if (verdict === undefined) throw new Error("an event was not answered");
    const [event] = events;
    if (verdict.verdict === "stale" || verdict.verdict === "aborted") held.running = false;
    if (verdict.verdict === "ok" && event?.type === "starting" && pool.alive && !held.running) this.#run(held);
    if (verdict.verdict === "resend") {
      const missing = held.sent.filter(({ seq }) => seq >= (verdict.next ?? 0));
      const [again] = shard.deliver(missing, pool.session, [LANE]).verdicts;
      if (again?.verdict === "resend") throw new Error("a gap stays although everything was sent again");
    }
    this.check();
  }

  #attempts(jobs: readonly { id: string }[]): number {
    return [...new Set(jobs.map(({ id }) => id))].reduce((sum, id) => sum + this.row(id).attempt, 0);
  }

  #accept(pool: Pool, answer: ClaimAnswer): void {
    if (answer.verdict !== "granted" || pool.refused.has(answer.token)) return;
    if (pool.held.get(answer.id)?.grant.token === answer.token) return;
    const held: Held = { grant: answer, running: false, seq: answer.seq, chunks: 0, sent: [] };
    pool.held.set(answer.id, held);
    pool.gotAt = this.now;
    pool.seen.push(answer.id);
    if (answer.startNow) this.#run(held);
  }

  /** The pool was asked about claims: what it never got it hands back, and refuses from then on. */
  #probe(pool: Pool, ids: readonly string[]): void {
    for (const id of ids) {
      const { token, nextSeq } = this.row(id);
      if (token === null || pool.held.get(id)?.grant.token === token) continue;
      pool.refused.add(token);
      const event: PoolEvent = { id, token, seq: nextSeq, type: "released", reason: "unseen" };
      this.shardFor(id).deliver([event], pool.session, [LANE]);
    }
  }

  #run(held: Held): void {
    held.running = true;
    this.runs.set(held.grant.id, (this.runs.get(held.grant.id) ?? 0) + 1);
    this.check();
  }

  #newShard(index: number): ShardCore {
    const sql = this.#shardSqls[index];
    if (sql === undefined) throw new Error("a shard has its storage");
    const newToken = () => `token-${(this.#tokens += 1)}`;
    return new ShardCore(sql, { rules: { ...defaultRules, unlistedFrom: 1 }, now: () => this.now, newToken });
  }

  #newLane(): LaneCore {
    return new LaneCore(this.#laneSql, { now: () => this.now });
  }
}
