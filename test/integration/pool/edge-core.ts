/**
 * The edge's own rules, one shard and its lanes, on real time and without objects: what the pool's tests run against.
 * It tells pools over whatever channel their session has open.
 */
import type { ClaimRef, EdgeMessage, PoolMessage } from "../../../src/contract/channel.ts";
import type { ClaimAnswer, ClaimRequest } from "../../../src/contract/claim.ts";
import type { EventsReply, PoolEvent } from "../../../src/contract/event.ts";
import { newPredictionId, newToken } from "../../../src/contract/ids.ts";
import type { Json, ModelRef, PredictionSnapshot } from "../../../src/contract/prediction.ts";
import type { UsageReport } from "../../../src/contract/usage.ts";
import { createProbes } from "../../../src/fleet/probes.ts";
import { LaneCore } from "../../../src/lane/core.ts";
import type { LaneEntry, Reservation } from "../../../src/lane/types.ts";
import { ShardCore } from "../../../src/shard/core.ts";
import { newRow } from "../../../src/shard/new-row.ts";
import { entryOf } from "../../../src/shard/outgoing.ts";
import { isFinished } from "../../../src/shard/row.ts";
import { defaultRules } from "../../../src/shard/rules.ts";
import { startStopwatch } from "../../stalls.ts";
import { memorySql } from "../../unit/memory-sql.ts";
import { submission } from "../../unit/submission.ts";
import { LOSSES_OF_A_SUSPECT, Tracked } from "./tracked.ts";
import type { Submission } from "./tracked.ts";

/** How often time alone is looked at. */
const BEAT_MS = 20;
/** A pool that has sent nothing of a grant for so long is asked whether it got it. */
const UNANSWERED_MS = 500;
/** Whoever is not the pool of a test. */
const STRANGER = "a-stranger";

type Session = {
  probes: ReturnType<typeof createProbes>;
  lanes: string[];
  send: ((message: EdgeMessage) => void) | null;
  /** By the edge's own stopwatch. */
  heardAtMs: number;
  isOver: boolean;
};

export class EdgeCore {
  readonly predictions = new Map<string, Tracked>();
  /** Rules that the pool broke. */
  readonly violations: string[] = [];
  /** Jobs that lanes released into a real Kafka; null: lanes serve their topics themselves. */
  kafka: { lane: string; entry: LaneEntry }[] | null = null;
  /** Grants that leave over a channel are lost on their way while this is true. */
  losesGrants = false;
  readonly #leaseMs: number;
  /** What leases go by: a machine that stands still ends none. */
  readonly #watch = startStopwatch();
  readonly #shard: ShardCore;
  readonly #lanes = new Map<string, LaneCore>();
  readonly #sessions = new Map<string, Session>();
  readonly #onChange: () => void;
  readonly #beat: NodeJS.Timeout;
  #unanswered: { at: number; claims: ClaimRef[] }[] = [];
  #isPumpDue = false;

  /** `onChange` is called after everything that may have changed something. */
  constructor(leaseMs: number, onChange: () => void) {
    this.#leaseMs = leaseMs;
    this.#shard = new ShardCore(memorySql(), { rules: { ...defaultRules, leaseMs }, now: () => Date.now(), newToken });
    this.#onChange = onChange;
    this.#beat = setInterval(() => this.#pump(), BEAT_MS);
    this.#beat.unref();
  }

  /** What was reserved for predictions that have ended. */
  get settlement(): ShardCore["settlement"] {
    return this.#shard.settlement;
  }

  close(): void {
    clearInterval(this.#beat);
    this.#watch[Symbol.dispose]();
  }

  submit(model: ModelRef, input: Json, more: Submission): Tracked {
    const id = newPredictionId(1);
    const { lane, stream, startInMs, endInMs, inputBlob = null, alone } = more;
    const wanted = {
      ...submission(id),
      ...{ model, input, inputBlob, lane, stream },
      startTimeoutMs: startInMs,
      totalTimeoutMs: endInMs,
      runLimitMs: more.runLimitMs,
      ...more.money,
    };
    let reservation: Reservation = { outcome: "waits" };
    // What was lost before never takes the short way.
    if (!alone)
      [reservation = reservation] = this.#lane(lane).reserve([entryOf(newRow(wanted, Date.now(), defaultRules))]);
    this.#shard.submit(wanted, reservation);
    for (let losses = 0; alone && losses < LOSSES_OF_A_SUSPECT; losses += 1) {
      const token = this.#give(id, lane);
      this.#shard.deliver([{ id, token, seq: 0, type: "released", reason: "lost" }], STRANGER, [lane]);
    }
    const tracked = new Tracked(id, more, () => {
      const row = this.#shard.store.get(id);
      if (row === null) throw new Error(`${id} is gone`);
      return row;
    });
    this.predictions.set(id, tracked);
    this.#pumpSoon();
    return tracked;
  }

  /** What a client sees. */
  snapshot(id: string): PredictionSnapshot | null {
    return this.#shard.snapshot(id, null);
  }

  cancel(id: string): void {
    this.#shard.cancel(id, submission(id).accountId);
    this.#pumpSoon();
  }

  /** Its session's lease is judged lost, and another pool has it now. */
  giveToAnother({ id, lane, session }: Tracked): void {
    this.#shard.judge(session ?? "", [id], { alive: false, remainingMs: 0 });
    this.#give(id, lane);
    this.#pumpSoon();
  }

  /** Grants it to this session, whatever the lane thinks of that. */
  push(session: string, { id }: Tracked): void {
    this.#shard.granting.push(session, [id]);
    this.#pumpSoon();
  }

  hello({ session, previous, lanes }: Extract<PoolMessage, { type: "hello" }>, send: Session["send"]): void {
    const probes =
      this.#sessions.get(session)?.probes ?? createProbes({ now: () => Date.now(), keptMs: this.#leaseMs });
    this.#sessions.set(session, { probes, lanes, send, heardAtMs: this.#watch.ms(), isOver: false });
    if (previous !== undefined) this.#over(previous);
    // The channel before may have been dead, though it stood open.
    for (const claims of probes.lately()) send?.({ type: "probe", claims });
    this.#pumpSoon();
  }

  room(session: string, { n, full, lanes }: Extract<PoolMessage, { type: "room" }>): void {
    for (const { lane, ...part } of lanes) this.#lane(lane).tell({ ...part, session, n, full });
    this.#pumpSoon();
  }

  /** The pool takes no more. */
  draining(session: string): void {
    for (const lane of this.#lanes.values()) lane.gone(session);
  }

  heard(session: string): void {
    const known = this.#sessions.get(session);
    if (known !== undefined) known.heardAtMs = this.#watch.ms();
  }

  /** This channel of the session is closed. */
  closed(session: string, send: Session["send"]): void {
    const known = this.#sessions.get(session);
    if (known?.send === send) known.send = null;
  }

  /** A poll of served topics: what the pool has room for, granted. `rooms`: the header's. */
  take(
    lane: string,
    session: string,
    rooms: [string, string, number, number][],
  ): { entry: LaneEntry; answer: ClaimAnswer }[] {
    const left = new Map(rooms.map(([model, version, room, startNow]) => [`${model} ${version}`, { room, startNow }]));
    const entries = this.#lane(lane).take(session, left, 200);
    const jobs = entries.map(({ id, model, version }) => {
      const room = left.get(`${model} ${version}`) ?? { room: 0, startNow: 0 };
      room.startNow -= 1;
      return { id, startNow: room.startNow >= 0 };
    });
    const answers = this.claim({ session, jobs });
    return entries.flatMap((entry, index) => {
      const answer = answers[index];
      return answer?.verdict === "granted" ? { entry, answer } : [];
    });
  }

  claim(request: ClaimRequest): ClaimAnswer[] {
    const answers = this.#shard.claim(request, this.#lanesOf(request.session));
    this.#pumpSoon();
    return answers;
  }

  deliver(session: string, events: readonly PoolEvent[], reports?: readonly UsageReport[]): EventsReply {
    this.heard(session);
    const before = new Map<string, number>();
    for (const event of events) {
      const row = this.#shard.store.get(event.id);
      if (row?.token !== event.token || isFinished(row.state)) continue;
      if (!before.has(event.token)) before.set(event.token, row.nextSeq);
    }
    const reply = this.#shard.deliver(events, session, this.#lanesOf(session), reports);
    for (const event of events) this.#note(event, before.get(event.token), reply);
    this.#pumpSoon();
    return reply;
  }

  /** Those of its token: a pool that has started again, and has no model yet, may still tell what it had. */
  #lanesOf(session: string): string[] {
    return ["default", ...(this.#sessions.get(session)?.lanes ?? [])];
  }

  tell(message: EdgeMessage): void {
    for (const { send } of this.#sessions.values()) send?.(message);
  }

  /** Keeps what was stored, and notes what nobody may send. */
  #note(event: PoolEvent, from: number | undefined, reply: EventsReply): void {
    const verdict = reply.verdicts.find(({ token }) => token === event.token)?.verdict;
    if (from === undefined || event.seq < from) return;
    if (verdict === "ok") this.predictions.get(event.id)?.events.push(event);
    const isRefused = verdict === "stale" && this.#shard.store.get(event.id)?.state === "granted";
    if (isRefused) this.violations.push(`${event.id}: ${event.type} before a counted start`);
  }

  #give(id: string, lane: string): string {
    const [answer] = this.#shard.claim({ session: STRANGER, jobs: [{ id, startNow: true }] }, [lane]);
    // A start after a loss is counted by its report.
    if (answer?.verdict !== "granted") throw new Error(`${id} can't be given away: ${JSON.stringify(answer)}`);
    return answer.token;
  }

  #lane(name: string): LaneCore {
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    const fresh = new LaneCore(memorySql(), { now: () => Date.now() });
    this.#lanes.set(name, fresh);
    return fresh;
  }

  #over(session: string): void {
    const known = this.#sessions.get(session);
    if (known !== undefined) known.isOver = true;
    for (const lane of this.#lanes.values()) lane.gone(session);
  }

  #pumpSoon(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }

  #pump(): void {
    const now = Date.now();
    for (const [name, session] of this.#sessions) {
      if (!session.isOver && session.send === null && this.#remainingMs(session) < 0) this.#over(name);
    }
    this.#look(now);
    for (const [name, lane] of this.#lanes) this.#exchange(name, lane);
    this.#sendGrants(now);
    this.#stop();
    for (const [name, lane] of this.#lanes) this.#act(name, lane);
    this.#sendGrants(now);
    this.#onChange();
  }

  /** What falls due by time alone. */
  #look(now: number): void {
    const asked = this.#unanswered.filter(({ at }) => at <= now);
    this.#unanswered = this.#unanswered.filter(({ at }) => at > now);
    for (const { claims } of asked) this.#judge(this.#shard.granting.unanswered(claims));
    for (let more = true; more;) {
      const woken = this.#shard.wake();
      ({ more } = woken);
      this.#judge(woken.checks);
    }
    this.#shard.flush();
  }

  /** Of the session's lease; a stranger's is whole. */
  #remainingMs(session: Session | undefined): number {
    const now = this.#watch.ms();
    return (session?.heardAtMs ?? now) + this.#leaseMs - now;
  }

  #judge(checks: ReadonlyMap<string, string[]>): void {
    for (const [name, ids] of checks) {
      const session = this.#sessions.get(name);
      const isTrusted = name === STRANGER || session?.isOver === false;
      const remainingMs = isTrusted ? this.#remainingMs(session) : 0;
      const claims = ids.map((id) => ({ id, token: this.#shard.store.get(id)?.token ?? "" }));
      session?.send?.({ type: "probe", claims });
      session?.probes.sent(claims);
      this.#shard.judge(name, ids, { alive: remainingMs > 0, remainingMs });
    }
  }

  #exchange(name: string, lane: LaneCore): void {
    const { outgoing } = this.#shard;
    lane.withdraw(outgoing.withdrawals.get(name) ?? []);
    lane.granted(outgoing.granted.get(name) ?? []);
    lane.unused(outgoing.unused.get(name) ?? []);
    const { failed } = lane.offer([...(outgoing.hands.get(name)?.values() ?? [])]);
    for (const news of [outgoing.withdrawals, outgoing.granted, outgoing.unused, outgoing.hands]) news.delete(name);
    for (const [id, error] of Object.entries(failed)) this.#shard.granting.failWaiting([id], error);
    outgoing.feeds.clear();
  }

  #sendGrants(now: number): void {
    const { grants } = this.#shard.outgoing;
    for (const [name, some] of [...grants]) {
      grants.delete(name);
      const claims = some.map(({ id, token }) => ({ id, token }));
      const send = this.#sessions.get(name)?.send ?? null;
      if (send === null) {
        this.#shard.granting.undelivered(claims);
        continue;
      }
      this.#unanswered.push({ at: now + UNANSWERED_MS, claims });
      if (!this.losesGrants) send({ type: "grants", grants: some });
    }
  }

  #stop(): void {
    for (const [name, claims] of this.#shard.outgoing.stops)
      this.#sessions.get(name)?.send?.({ type: "cancel", claims });
    this.#shard.outgoing.stops.clear();
  }

  #act(name: string, lane: LaneCore): void {
    const due = lane.due();
    for (const [session, entries] of due.pushes) {
      this.#shard.granting.push(
        session,
        entries.map(({ id }) => id),
      );
    }
    for (const { entries, error } of due.fail) {
      this.#shard.granting.failWaiting(
        entries.map(({ id }) => id),
        error,
      );
    }
    for (const session of due.work) this.#sessions.get(session)?.send?.({ type: "work", lane: name });
    for (const session of due.tell) this.#sessions.get(session)?.send?.({ type: "tell" });
    if (this.kafka === null) return;
    const released = lane.release(100);
    this.kafka.push(...released.map((entry) => ({ lane: name, entry })));
    lane.released(
      released.map(({ id }) => id),
      true,
    );
  }
}
