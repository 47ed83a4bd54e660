/**
 * Consumer groups of one broker, in memory. What must outlive the object, the committed offsets, is in `CommitStore`;
 * after a restart members join again with their next consume and go on from there.
 *
 *   (unknown) --consume--> member --idle for its session timeout, or delete-consumer--> (unknown)
 *
 * Any change of members or of their topics rebalances: a member keeps the position of a partition that it keeps, loses
 * that of one that it loses (committed first, if it commits automatically), and starts a new one at the committed
 * offset.
 */
import { assignRange } from "./assignment.ts";
import type { CommitStore } from "./commits.ts";
import { partitionKey, partitionsOn } from "./names.ts";
import { answer, failure } from "./protocol.ts";
import type { Answer, Failure, GroupAssignment, InstanceRef, MemberOptions, TopicInfo } from "./protocol.ts";
import type { UserQuotas } from "./quotas.ts";
import type { PartitionStore } from "./store.ts";

/** A partition that a member owns. */
export type Owned = {
  topic: string;
  partition: number;
  /** The next offset to hand out; null while the group has none and its policy is `none`. */
  position: number | null;
  /** Whether `position` is to be committed by the next automatic commit. */
  dirty: boolean;
};

export type Member = {
  group: string;
  instance: string;
  principal: string;
  topics: ReadonlyMap<string, number>;
  options: MemberOptions;
  lastSeenAt: number;
  /** When its wait ends at the latest; a member that waits doesn't expire. 0 when it doesn't wait. */
  waitingUntil: number;
  owned: Map<string, Owned>;
  turn: number;
  /** Ends the member's current wait, so that it looks again. */
  wake: (() => void) | null;
  /** Why its last automatic commit was not stored; null: it was. */
  refusal: Failure | null;
};

type Group = { members: Map<string, Member> };
/** Of one user: how many instances it has in each group. */
type Held = Map<string, number>;

const MAX_MEMBERS = 1000;

export class Groups {
  readonly #groups = new Map<string, Group>();
  readonly #held = new Map<string, Held>();
  readonly #quotas: Pick<UserQuotas, "groups" | "instances">;
  readonly #store: PartitionStore;
  readonly #commits: CommitStore;
  #broker = { index: 0, count: 1 };

  constructor(store: PartitionStore, commits: CommitStore, quotas: Pick<UserQuotas, "groups" | "instances">) {
    this.#quotas = quotas;
    this.#store = store;
    this.#commits = commits;
  }

  has(group: string): boolean {
    return this.#groups.has(group);
  }

  member(ref: { group: string; instance: string }): Member | undefined {
    return this.#groups.get(ref.group)?.members.get(ref.instance);
  }

  /** The member of a group that owns a partition. */
  owner(group: string, topic: string, partition: number): Member | undefined {
    const key = partitionKey(topic, partition);
    for (const member of this.#groups.get(group)?.members.values() ?? []) {
      if (member.owned.has(key)) return member;
    }
    return undefined;
  }

  /** The instance's member, made at its first consume; rebalances when it is new or subscribes to other topics. */
  join(
    ref: InstanceRef,
    broker: { index: number; count: number },
    topics: readonly TopicInfo[],
    options: MemberOptions,
    now: number,
  ): Answer<Member> {
    this.#broker = broker;
    const group = this.#groups.get(ref.group) ?? { members: new Map<string, Member>() };
    const known = group.members.get(ref.instance);
    if (known !== undefined && known.principal !== ref.principal) {
      return failure(
        "forbidden",
        `Instance \`${ref.instance}\` of group \`${ref.group}\` belongs to other credentials; use another instance name.`,
      );
    }
    if (known !== undefined) {
      known.lastSeenAt = now;
      if (sameTopics(known.topics, topics)) return answer(known);
      known.topics = new Map(topics.map((info) => [info.topic, info.partitions]));
      this.#rebalance(ref.group, group, now);
      return answer(known);
    }
    if (group.members.size >= MAX_MEMBERS) {
      return failure(
        "rate_limited",
        `Group \`${ref.group}\` has ${MAX_MEMBERS} instances; remove some with /delete-consumer.`,
      );
    }
    const refusal = this.#refuse(ref);
    if (refusal !== null) return refusal;
    const member: Member = {
      ...ref,
      topics: new Map(topics.map((info) => [info.topic, info.partitions])),
      options,
      lastSeenAt: now,
      waitingUntil: 0,
      owned: new Map(),
      turn: 0,
      wake: null,
      refusal: null,
    };
    group.members.set(ref.instance, member);
    this.#hold(ref, 1);
    this.#groups.set(ref.group, group);
    this.#rebalance(ref.group, group, now);
    return answer(member);
  }

  /** Takes a member out at once; its partitions go to the others. */
  leave(member: Member, now: number): void {
    const group = this.#groups.get(member.group);
    if (group?.members.get(member.instance) !== member) return;
    if (member.options.autoCommit) this.commitDirty(member, now);
    group.members.delete(member.instance);
    this.#hold(member, -1);
    member.owned.clear();
    member.wake?.();
    if (group.members.size === 0) this.#groups.delete(member.group);
    else this.#rebalance(member.group, group, now);
  }

  /**
   * Takes out whoever was idle for too long. Answers when the next one would be due, or null when there are no members.
   */
  expire(now: number): number | null {
    let nextAt: number | null = null;
    for (const group of [...this.#groups.values()]) {
      for (const member of [...group.members.values()]) {
        const dueAt = Math.max(member.lastSeenAt, member.waitingUntil) + member.options.sessionTimeoutMs;
        if (dueAt <= now) this.leave(member, now);
        else nextAt = Math.min(nextAt ?? dueAt, dueAt);
      }
    }
    return nextAt;
  }

  /**
   * Commits what a member consumed since the last time, up to the first record that is to be delivered again. What is
   * refused stays to be committed.
   */
  commitDirty(member: Member, now: number): Failure | null {
    const dirty = [...member.owned.values()].filter((owned) => owned.dirty && owned.position !== null);
    const offsets = dirty.map(({ topic, partition, position }) => ({ topic, partition, offset: position ?? 0 }));
    member.refusal = this.#commits.commit(member.group, offsets, now, member.principal);
    if (member.refusal === null) for (const owned of dirty) owned.dirty = false;
    return member.refusal;
  }

  /** Wakes the owners of a partition that got records. */
  wakeOwners(topic: string, partition: number): void {
    const key = partitionKey(topic, partition);
    for (const group of this.#groups.values()) {
      for (const member of group.members.values()) {
        if (member.wake !== null && member.owned.has(key)) member.wake();
      }
    }
  }

  assignments(): GroupAssignment[] {
    return [...this.#groups].map(([name, group]) => ({
      name,
      instances: [...group.members.values()].map((member) => ({
        name: member.instance,
        topics: [...member.topics.keys()].map((topic) => ({
          topic,
          partitions: [...member.owned.values()]
            .filter((owned) => owned.topic === topic)
            .map((owned) => owned.partition)
            .toSorted((a, b) => a - b),
        })),
      })),
    }));
  }

  /** Why the user may have no further instance in this group; null: it may. */
  #refuse({ group, principal }: InstanceRef): Failure | null {
    const held: Held = this.#held.get(principal) ?? new Map<string, number>();
    const { groups, instances } = this.#quotas;
    if (!held.has(group) && held.size >= groups) {
      return failure(
        "quota_exceeded",
        `These credentials consume in ${held.size} groups at this broker, of ${groups} (LOG_USER_GROUPS); remove instances with /delete-consumer.`,
      );
    }
    let count = 0;
    for (const some of held.values()) count += some;
    if (count < instances) return null;
    return failure(
      "quota_exceeded",
      `These credentials have ${count} instances at this broker, of ${instances} (LOG_USER_INSTANCES); remove some with /delete-consumer.`,
    );
  }

  #hold({ group, principal }: InstanceRef, by: 1 | -1): void {
    const held: Held = this.#held.get(principal) ?? new Map<string, number>();
    const count = (held.get(group) ?? 0) + by;
    if (count > 0) held.set(group, count);
    else held.delete(group);
    if (held.size > 0) this.#held.set(principal, held);
    else this.#held.delete(principal);
  }

  #rebalance(name: string, group: Group, now: number): void {
    const members = [...group.members.values()];
    const counts = new Map(members.flatMap((member) => [...member.topics]));
    const subscribers = members.map((member) => ({ instance: member.instance, topics: new Set(member.topics.keys()) }));
    const next = new Map(members.map((member) => [member.instance, new Map<string, Owned>()]));
    const before = new Map(
      members.flatMap((member) => [...member.owned].map(([key, owned]) => [key, { member, owned }] as const)),
    );
    const gained: { member: Member; owned: Owned }[] = [];
    for (const [topic, count] of counts) {
      const owners = assignRange(topic, count, subscribers);
      for (const partition of partitionsOn(this.#broker.index, topic, count, this.#broker.count)) {
        const member = group.members.get(owners[partition] ?? "");
        if (member === undefined) continue;
        const key = partitionKey(topic, partition);
        const held = before.get(key);
        if (held?.member === member) {
          next.get(member.instance)?.set(key, held.owned);
          before.delete(key);
          continue;
        }
        const owned: Owned = { topic, partition, position: null, dirty: false };
        next.get(member.instance)?.set(key, owned);
        gained.push({ member, owned });
      }
    }
    for (const { member, owned } of before.values()) {
      if (member.options.autoCommit && owned.dirty && owned.position !== null) {
        const offset = { topic: owned.topic, partition: owned.partition, offset: owned.position };
        member.refusal = this.#commits.commit(name, [offset], now, member.principal);
      }
    }
    for (const member of members) {
      member.owned = next.get(member.instance) ?? new Map<string, Owned>();
      member.wake?.();
    }
    for (const { member, owned } of gained) this.place(member, owned);
  }

  /** Puts a partition's position to the committed offset, or where the reset policy says. */
  place(member: Member, owned: Owned): void {
    const { start, end } = this.#store.bounds(owned.topic, owned.partition);
    const committed = this.#commits.committed(member.group, owned);
    if (committed !== undefined && committed >= start && committed <= end) {
      owned.position = committed;
      return;
    }
    const { reset } = member.options;
    owned.position = reset === "none" ? null : reset === "earliest" ? start : end;
    // An automatic commit keeps "latest" from skipping what arrives while the object restarts.
    owned.dirty = owned.position !== null;
  }
}

function sameTopics(known: ReadonlyMap<string, number>, topics: readonly TopicInfo[]): boolean {
  return known.size === topics.length && topics.every((info) => known.get(info.topic) === info.partitions);
}
