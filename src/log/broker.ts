/**
 * A broker of the embedded log: one object that holds many partitions as rows, the consumer groups over them, and
 * whoever waits for their records. What a produce wakes is answered as soon as its one write is durable: the platform
 * holds every answer back until then, the waiting consumer's too.
 *
 *   produce --append--> rows --wake--> waiting consume --> answer
 *   alarm: retention, at the time when the oldest rows fall due, so that an idle log stays asleep
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { createObjectTimers } from "../object-timers.ts";
import { answerLength } from "./batch.ts";
import { CommitStore } from "./commits.ts";
import { Groups } from "./groups.ts";
import type { Member } from "./groups.ts";
import { partitionKey } from "./names.ts";
import { answer, failure } from "./protocol.ts";
import type {
  Answer,
  Append,
  Appended,
  ConsumeReply,
  ConsumeRequest,
  FetchRequest,
  GroupAssignment,
  InstanceRef,
  LogFaults,
  LogMessage,
  OffsetQuery,
  OwnedTopic,
  TopicInfo,
  TopicPartition,
  TopicPartitionOffset,
} from "./protocol.ts";
import { readUserQuotas } from "./quotas.ts";
import type { UserQuotas } from "./quotas.ts";
import { readRetention } from "./retention.ts";
import { PartitionStore, SWEEP_ROWS } from "./store.ts";
import type { Retention } from "./store.ts";
import { hasRecords, MAX_ANSWER_BYTES, takeRecords } from "./take.ts";
import { Waits } from "./waits.ts";

const FETCH_RECORDS = 500;
const SWEEP_EVERY_MS = 600_000;

export class LogBroker extends DurableObject<Env> {
  readonly #store: PartitionStore;
  readonly #commits: CommitStore;
  readonly #groups: Groups;
  readonly #timers = createObjectTimers();
  readonly #waits = new Waits(this.#timers);
  readonly #quotas: UserQuotas;
  readonly #retention: Retention;
  readonly #commitTimers = new Map<Member, ReturnType<typeof setTimeout>>();
  #expiry: { giveUp: () => void; dueAt: number } | null = null;
  #alarmAt: number | null = null;
  #faults: LogFaults = {};
  /** Which parts of the sweep under way are done: the records, with the oldest one's time, and the groups. */
  #swept: { records: { oldestAt: number | null } | null; groups: boolean } = { records: null, groups: false };

  constructor(state: DurableObjectState, env: Env) {
    super(state, env);
    this.#store = new PartitionStore(state.storage);
    this.#quotas = readUserQuotas(env);
    this.#commits = new CommitStore(state.storage.sql, this.#quotas);
    this.#groups = new Groups(this.#store, this.#commits, this.#quotas);
    this.#retention = readRetention(env);
    void state.blockConcurrencyWhile(async () => {
      this.#alarmAt = await state.storage.getAlarm();
    });
  }

  /**
   * The topic, which is made for `owner`, who has so many `elsewhere`, with `partitions` if it isn't there and that
   * isn't 0.
   */
  ensureTopic(topic: string, partitions: number, owner: string | null, elsewhere = 0): Answer<OwnedTopic> {
    const known = this.#store.topics.get(topic);
    if (known !== undefined) return answer(known);
    if (partitions === 0) return answer({ partitions: 0, owner: null });
    const refusal = this.#store.topics.refuse(owner, this.#quotas, elsewhere);
    return refusal ?? answer(this.#store.topics.add(topic, partitions, owner));
  }

  /** The topics that `owner` made and of which a partition is here. */
  topicsOf(owner: string): string[] {
    return this.#store.topics.ownedBy(owner);
  }

  topics(): TopicInfo[] {
    return this.#store.topics.all();
  }

  /**
   * Appends all records or none; they are durable when the answer arrives. `principal` null: the edge, whose records
   * are always taken.
   */
  produce(appends: Append[], principal: string | null): Answer<Appended[]> {
    const now = Date.now();
    if ((this.#faults.refuseProduceUntil ?? 0) > now) {
      return failure("unavailable", "The log refuses records because a test fault says so; set its faults to {}.");
    }
    const refusal = principal === null ? null : this.#store.topics.refuseBytes(appends, this.#quotas);
    if (refusal !== null) return refusal;
    const dropped = this.#faults.dropProbability ?? 0;
    const results = this.#store.append(
      appends,
      now,
      this.#faults.duplicate ?? 1,
      () => dropped > 0 && Math.random() < dropped,
    );
    for (const { topic, partition } of appends) {
      this.#groups.wakeOwners(topic, partition);
      this.#waits.wake(partitionKey(topic, partition));
      if (this.#store.isOver(topic, partition, this.#retention)) {
        this.#store.trim(topic, partition, now, this.#retention, SWEEP_ROWS);
      }
    }
    const { records } = this.#swept;
    if (records !== null) records.oldestAt ??= now;
    this.#armAlarm(now + SWEEP_EVERY_MS);
    return answer(results);
  }

  /**
   * Hands records to a group's instance, waiting up to `timeoutMs` for the first. A second consume of an instance ends
   * the wait of its first.
   */
  async consume(request: ConsumeRequest): Promise<Answer<ConsumeReply>> {
    const startedAt = Date.now();
    const joined = this.#groups.join(request, request.broker, request.topics, request.options, startedAt);
    if (!joined.ok) return joined;
    const member = joined.value;
    // An instance that is refused expires, too: it may not come back.
    this.#armExpiry(startedAt + member.options.sessionTimeoutMs);
    const refusal = member.refusal === null ? null : this.#groups.commitDirty(member, startedAt);
    if (refusal !== null) return refusal;
    const unplaced = this.#unplaced(member);
    if (unplaced) return unplaced;
    // Where it begins is to be remembered, too, though nothing comes: else it begins elsewhere after a restart.
    if ([...member.owned.values()].some(({ dirty }) => dirty)) this.#armCommit(member);
    member.waitingUntil = startedAt + request.timeoutMs;
    this.#waits.begin(request.waitId, member);
    try {
      return answer(await this.#consumeUntil(request, member, startedAt + request.timeoutMs));
    } finally {
      member.lastSeenAt = Date.now();
      if (this.#waits.end(request.waitId, member)) member.waitingUntil = 0;
    }
  }

  /** Ends a wait that isn't needed any more. */
  cancelWait(waitId: string): void {
    this.#waits.cancel(waitId);
  }

  /** Records from given offsets on, without a group; waits up to `timeoutMs` for the first. */
  async fetchRecords(request: FetchRequest): Promise<Answer<LogMessage[]>> {
    const deadline = Date.now() + request.timeoutMs;
    for (;;) {
      const messages: LogMessage[] = [];
      let bytes = 0;
      for (const { topic, partition, offset } of request.from) {
        const { start, end } = this.#store.bounds(topic, partition);
        if (offset < start || offset > end) {
          return failure(
            "offset_out_of_range",
            `Partition ${partition} of \`${topic}\` holds offsets ${start} to ${end} (the next one); ${offset} is not among them.`,
          );
        }
        const limits = { records: FETCH_RECORDS - messages.length, bytes: MAX_ANSWER_BYTES - bytes };
        if (limits.records <= 0 || limits.bytes <= 0) continue;
        const found = this.#store.read(topic, partition, offset, limits).messages;
        for (const message of found) bytes += answerLength(message);
        messages.push(...found);
      }
      const keys = request.from.map(({ topic, partition }) => partitionKey(topic, partition));
      if (messages.length > 0 || !(await this.#waits.forPartitions(request.waitId, keys, deadline)))
        return answer(messages);
    }
  }

  /**
   * Commits offsets as they are sent; without offsets, all that the instance consumed here. Null: no such instance
   * here.
   */
  commit(ref: InstanceRef, offsets: TopicPartitionOffset[] | null): Answer<boolean> {
    const member = this.#groups.member(ref);
    if (member !== undefined && member.principal !== ref.principal) return foreign(ref);
    if (offsets === null) {
      if (member === undefined) return answer(false);
      for (const owned of member.owned.values()) owned.dirty = true;
      return this.#groups.commitDirty(member, Date.now()) ?? answer(true);
    }
    for (const { topic, partition } of offsets) {
      const owner = this.#groups.owner(ref.group, topic, partition);
      if (owner === undefined || owner === member) continue;
      return failure(
        "unknown_member",
        `Partition ${partition} of \`${topic}\` is assigned to instance \`${owner.instance}\`, not to \`${ref.instance}\`; consume again to learn what is yours.`,
      );
    }
    return this.#commits.commit(ref.group, offsets, Date.now(), ref.principal) ?? answer(true);
  }

  /** The committed offset of each partition, -1 where there is none. */
  committed(group: string, partitions: TopicPartition[]): number[] {
    return partitions.map((entry) => this.#commits.committed(group, entry) ?? -1);
  }

  /** Offsets by time or by end; see `PartitionStore.offset`. */
  offsets(partitions: TopicPartition[], query: OffsetQuery): number[] {
    return partitions.map(({ topic, partition }) => this.#store.offset(topic, partition, query));
  }

  consumers(): GroupAssignment[] {
    this.#expire();
    return this.#groups.assignments();
  }

  /** Takes an instance out of its group at once; false when it isn't known here. */
  removeInstance(ref: InstanceRef): Answer<boolean> {
    const member = this.#groups.member(ref);
    if (member === undefined) return answer(false);
    if (member.principal !== ref.principal) return foreign(ref);
    this.#groups.leave(member, Date.now());
    return answer(true);
  }

  /** Sets the test faults; a deployment without `LOCAL_FAULTS=1` refuses. */
  setFaults(faults: LogFaults): Answer<LogFaults> {
    if (this.env.LOCAL_FAULTS !== "1") {
      return failure("forbidden", "Faults can be set on a local stack only, with LOCAL_FAULTS=1.");
    }
    this.#faults = faults;
    return answer(faults);
  }

  override async alarm(): Promise<void> {
    const now = Date.now();
    this.#alarmAt = null;
    this.#armAlarm(now + SWEEP_EVERY_MS);
    try {
      const swept = this.#swept;
      if (swept.records === null) {
        const { more, oldestAt } = this.#store.sweep(now, this.#retention);
        if (!more) swept.records = { oldestAt };
      }
      swept.groups ||= !this.#commits.sweep(now, (group) => this.#groups.has(group));
      if (swept.records === null || !swept.groups) {
        await this.#setAlarm(now + 100);
        return;
      }
      const { oldestAt } = swept.records;
      this.#swept = { records: null, groups: false };
      if (oldestAt === null) await this.#clearAlarm();
      else await this.#setAlarm(Math.max(now + SWEEP_EVERY_MS, oldestAt + this.#retention.ms));
    } catch (error) {
      console.error("log sweep failed", error instanceof Error ? error.message : String(error));
    }
  }

  async #consumeUntil(request: ConsumeRequest, member: Member, deadline: number): Promise<ConsumeReply> {
    for (;;) {
      const left = this.#groups.member(request) !== member;
      const superseded = left || this.#waits.isSuperseded(request.waitId, member);
      if (superseded || this.#waits.isCanceled(request.waitId)) return { ready: false, superseded, messages: [] };
      const now = Date.now();
      if (request.mode === "wait" && hasRecords(this.#store, member))
        return { ready: true, superseded: false, messages: [] };
      const messages = request.mode === "wait" ? [] : takeRecords(this.#store, member, request.room);
      if (messages.length > 0) {
        this.#armCommit(member);
        return { ready: true, superseded: false, messages };
      }
      if (now >= deadline) return { ready: false, superseded: false, messages: [] };
      await this.#waits.forMember(member, deadline);
    }
  }

  #unplaced(member: Member): Answer<never> | null {
    for (const owned of member.owned.values()) {
      if (owned.position === null) this.#groups.place(member, owned);
      if (owned.position !== null) continue;
      return failure(
        "offset_out_of_range",
        `Group \`${member.group}\` has no committed offset for partition ${owned.partition} of \`${owned.topic}\`, and \`Kafka-Auto-Offset-Reset: none\` forbids choosing one; commit one, or send \`earliest\` or \`latest\`.`,
      );
    }
    return null;
  }

  #armCommit(member: Member): void {
    if (!member.options.autoCommit || this.#commitTimers.has(member)) return;
    const timer = setTimeout(() => {
      this.#commitTimers.delete(member);
      if (this.#groups.member(member) === member) this.#groups.commitDirty(member, Date.now());
    }, member.options.autoCommitIntervalMs);
    this.#commitTimers.set(member, timer);
  }

  #armExpiry(dueAt: number): void {
    if (this.#expiry !== null && this.#expiry.dueAt <= dueAt) return;
    this.#expiry?.giveUp();
    const giveUp = this.#timers.after(Math.max(0, dueAt - Date.now()) + 1, () => this.#expire());
    this.#expiry = { giveUp, dueAt };
  }

  #expire(): void {
    this.#expiry?.giveUp();
    this.#expiry = null;
    const nextAt = this.#groups.expire(Date.now());
    if (nextAt !== null) this.#armExpiry(nextAt);
  }

  #armAlarm(at: number): void {
    if (this.#alarmAt === null) void this.#setAlarm(at);
  }

  async #setAlarm(at: number): Promise<void> {
    this.#alarmAt = at;
    await this.ctx.storage.setAlarm(at);
  }

  async #clearAlarm(): Promise<void> {
    this.#alarmAt = null;
    await this.ctx.storage.deleteAlarm();
  }
}

function foreign(ref: InstanceRef): Answer<never> {
  return failure("forbidden", `Instance \`${ref.instance}\` of group \`${ref.group}\` belongs to other credentials.`);
}
