/**
 * A whole system in one thread, for random interleavings: one shard and one lane on real SQL, a log that loses, repeats and
 * re-orders, and pools that die, stall and repeat themselves. Time moves only when told to.
 */
import type { ClaimAnswer, Grant } from "../../src/contract/claim.ts";
import type { PoolEvent } from "../../src/contract/event.ts";
import { newPredictionId } from "../../src/contract/ids.ts";
import { LaneCore } from "../../src/lane/core.ts";
import type { LaneEntry } from "../../src/lane/types.ts";
import { ShardCore } from "../../src/shard/core.ts";
import { isFinished } from "../../src/shard/row.ts";
import type { Row, State } from "../../src/shard/row.ts";
import { defaultRules } from "../../src/shard/rules.ts";
import type { Submission } from "../../src/shard/types.ts";
import { memorySql } from "./memory-sql.ts";
import { submission } from "./submission.ts";

const LANE = "default";

/** What a pool holds of one claim. `sent` are all events that it ever sent for it: it may repeat any. */
type Held = { grant: Grant; running: boolean; seq: number; chunks: number; sent: PoolEvent[] };
/** `alive`: it can send. `heard`: its pings arrive; a pool that is alive and not heard is cut off, or stalls. */
export type Pool = { session: string; alive: boolean; heard: boolean; heardAt: number; held: Map<string, Held> };

export class World {
  now = 1_700_000_000_000;
  readonly log: LaneEntry[] = [];
  readonly pools: Pool[] = [];
  readonly ids: string[] = [];
  /** Runs that began, per prediction: what the shard must have counted before. */
  readonly runs = new Map<string, number>();
  /** The final state of each prediction when it was first seen to be final, and its output. */
  readonly finals = new Map<string, { state: State; output: string }>();
  readonly #shardSql = memorySql();
  readonly #laneSql = memorySql();
  #tokens = 0;
  shard: ShardCore;
  lane: LaneCore;

  constructor() {
    this.shard = this.#newShard();
    this.lane = this.#newLane();
    for (let index = 0; index < 2; index += 1) this.newPool();
  }

  newPool(): void {
    this.pools.push({
      session: `session-${this.pools.length}`,
      alive: true,
      heard: true,
      heardAt: this.now,
      held: new Map(),
    });
  }

  submit(overrides: Partial<Submission> = {}): string {
    const id = newPredictionId(1);
    const accepted = this.shard.submit({ ...submission(id), ...overrides });
    if (accepted === null || !accepted.created) throw new Error("a fresh id was refused");
    this.ids.push(id);
    return id;
  }

  /** News from the shard to the lane; `deliver` false loses them with the call that carried them, to be put back. */
  exchange(): void {
    const { outgoing } = this.shard;
    const entries = [...(outgoing.hands.get(LANE)?.values() ?? [])];
    outgoing.hands.delete(LANE);
    this.lane.withdraw(outgoing.withdrawals.get(LANE) ?? []);
    outgoing.withdrawals.delete(LANE);
    this.lane.claimed(outgoing.claims.get(LANE) ?? []);
    outgoing.claims.delete(LANE);
    this.lane.offer(entries);
    for (const [account, feeds] of outgoing.feeds) {
      outgoing.acknowledgeFeed(feeds);
      outgoing.feeds.delete(account);
    }
    for (const [session, claims] of outgoing.stops) {
      for (const { id } of claims) this.pools.find((pool) => pool.session === session)?.held.delete(id);
      outgoing.stops.delete(session);
    }
  }

  produce(succeeds: boolean): void {
    const batch = this.lane.fill();
    if (!succeeds) return this.lane.keep();
    this.log.push(...batch);
    this.lane.produced(batch);
  }

  /** A pool takes up to `count` records from anywhere in the log and claims them. */
  claim(pool: Pool, at: number, count: number, startNow: number, answerArrives: boolean): ClaimAnswer[] {
    if (!pool.alive) return [];
    const records = this.log.splice(at % Math.max(1, this.log.length), count);
    const jobs = records.map(({ id }) => ({ id }));
    const finished = new Set(jobs.filter(({ id }) => isFinished(this.row(id).state)).map(({ id }) => id));
    const attempts = this.#attempts(jobs);
    const answers = this.shard.claim({ session: pool.session, startNow, jobs }, [LANE]);
    for (const { id, verdict } of answers) {
      if (verdict === "granted" && finished.has(id)) throw new Error(`${id} was granted after its end`);
    }
    const started = this.#attempts(jobs) - attempts;
    if (started > startNow) throw new Error(`${started} starts were counted where ${startNow} were asked for`);
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
    const event = make({ id, token: held.grant.token, seq: held.seq });
    if (event.type !== "starting" && event.type !== "released" && !held.running) return;
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

  /** The object dies and comes back with nothing but its rows. */
  restartShard(): void {
    this.shard = this.#newShard();
    this.shard.recover();
  }

  restartLane(): void {
    this.lane = this.#newLane();
  }

  /** Time passes; live pools are heard of, and what falls due is handled. */
  pass(ms: number): void {
    this.now += ms;
    for (const pool of this.pools) if (pool.alive && pool.heard) pool.heardAt = this.now;
    for (let more = true; more;) {
      const woken = this.shard.wake();
      ({ more } = woken);
      for (const [session, ids] of woken.checks) {
        const pool = this.pools.find((one) => one.session === session);
        const remainingMs = pool === undefined ? 0 : pool.heardAt + defaultRules.leaseMs - this.now;
        if (pool?.alive === true && pool.heard) this.#probe(pool, ids);
        this.shard.judge(session, ids, { alive: remainingMs > 0, remainingMs });
      }
    }
    this.shard.flush();
    this.lane.expire();
    this.check();
  }

  row(id: string): Row {
    const row = this.shard.store.get(id);
    if (row === null) throw new Error(`accepted and not stored: ${id}`);
    return row;
  }

  /** The invariants that hold at every moment. */
  check(): void {
    for (const id of this.ids) {
      const row = this.row(id);
      if ((this.runs.get(id) ?? 0) > row.attempt) throw new Error(`${id} ran before its start was counted`);
      const frames = this.shard.frames(id, null, -1)?.frames ?? [];
      const chunks = frames.filter(({ type, data }) => type === "output" && typeof data === "number");
      const odd = chunks.find(({ data }, index) => data !== index);
      if (odd !== undefined) throw new Error(`${id} shows chunk ${String(odd.data)} out of its turn`);
      if (row.losses > defaultRules.maxLosses) throw new Error(`${id} was lost ${row.losses} times`);
      if (!isFinished(row.state)) continue;
      const final = { state: row.state, output: JSON.stringify(row.output) };
      const first = this.finals.get(id) ?? final;
      this.finals.set(id, first);
      if (first.state !== final.state || first.output !== final.output) throw new Error(`${id} ended twice`);
    }
  }

  #deliver(pool: Pool, held: Held, events: PoolEvent[]): void {
    const before = this.row(held.grant.id);
    const [verdict] = this.shard.deliver(events, pool.session, [LANE]).verdicts;
    if (before.token !== held.grant.token && JSON.stringify(this.row(before.id)) !== JSON.stringify(before)) {
      throw new Error(`${before.id} was changed by a token that is not its latest`);
    }
    if (verdict === undefined) throw new Error("an event was not answered");
    const [event] = events;
    if (verdict.verdict === "stale" || verdict.verdict === "aborted") held.running = false;
    if (verdict.verdict === "ok" && event?.type === "starting" && pool.alive && !held.running) this.#run(held);
    if (verdict.verdict === "resend") {
      const missing = held.sent.filter(({ seq }) => seq >= (verdict.next ?? 0));
      const [again] = this.shard.deliver(missing, pool.session, [LANE]).verdicts;
      if (again?.verdict === "resend") throw new Error("a gap stays although everything was sent again");
    }
    this.check();
  }

  #attempts(jobs: readonly { id: string }[]): number {
    return [...new Set(jobs.map(({ id }) => id))].reduce((sum, id) => sum + this.row(id).attempt, 0);
  }

  #accept(pool: Pool, answer: ClaimAnswer): void {
    if (answer.verdict !== "granted" || pool.held.get(answer.id)?.grant.token === answer.token) return;
    const held: Held = { grant: answer, running: false, seq: answer.seq, chunks: 0, sent: [] };
    pool.held.set(answer.id, held);
    if (answer.startNow) this.#run(held);
  }

  /** The pool was asked about claims: what it doesn't know it hands back as lost. */
  #probe(pool: Pool, ids: readonly string[]): void {
    for (const id of ids) {
      const { token } = this.row(id);
      if (token === null || pool.held.get(id)?.grant.token === token) continue;
      this.shard.deliver([{ id, token, seq: this.row(id).nextSeq, type: "released", reason: "lost" }], pool.session, [
        LANE,
      ]);
    }
  }

  #run(held: Held): void {
    held.running = true;
    this.runs.set(held.grant.id, (this.runs.get(held.grant.id) ?? 0) + 1);
    this.check();
  }

  #newShard(): ShardCore {
    const newToken = () => `token-${(this.#tokens += 1)}`;
    return new ShardCore(this.#shardSql, { rules: defaultRules, now: () => this.now, newToken });
  }

  #newLane(): LaneCore {
    return new LaneCore(this.#laneSql, () => this.now);
  }
}
