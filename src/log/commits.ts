/**
 * Committed offsets of consumer groups, stored as they were sent: the offset that the group reads next. Each is read
 * when it is asked for.
 */
import { partitionKey } from "./names.ts";
import { failure } from "./protocol.ts";
import type { Failure, TopicPartition, TopicPartitionOffset } from "./protocol.ts";
import type { UserQuotas } from "./quotas.ts";
import { openLogSchema } from "./schema.ts";

/** A group's offsets are kept this long after its last commit, unless it has members. */
export const COMMIT_RETENTION_MS = 30 * 86_400_000;
/** Offsets, and users' counts of them, that are remembered. */
const MAX_REMEMBERED = 10_000;
/** What one sweep looks at, at most: groups, and rows of theirs but for those of the last one. */
const SWEEP_GROUPS = 100;
const SWEEP_ROWS = 2000;

export class CommitStore {
  readonly #sql: SqlStorage;
  readonly #quotas: Pick<UserQuotas, "offsets">;
  /** By group and partition; null: there is none. */
  readonly #known = new Map<string, number | null>();
  /** How many are stored of a user. */
  readonly #counts = new Map<string, number>();
  /** The last group that was looked at by a sweep. */
  #sweptTo = "";

  constructor(sql: SqlStorage, quotas: Pick<UserQuotas, "offsets">) {
    this.#sql = sql;
    this.#quotas = quotas;
    openLogSchema(sql);
  }

  /**
   * Stores the offsets that differ from what is stored, one row each, or none: of a user who would have too many. Null:
   * they are stored.
   */
  commit(group: string, offsets: readonly TopicPartitionOffset[], now: number, owner: string): Failure | null {
    const changed = offsets.filter((entry) => this.committed(group, entry) !== entry.offset);
    if (changed.length === 0) return null;
    const fresh = new Set(
      changed.filter((entry) => this.committed(group, entry) === undefined).map((entry) => keyOf(group, entry)),
    ).size;
    const count = this.#countOf(owner) + fresh;
    if (fresh > 0 && count > this.#quotas.offsets) {
      return failure(
        "quota_exceeded",
        `These credentials would have ${count} committed offsets at this broker, of ${this.#quotas.offsets} (LOG_USER_OFFSETS); use groups that are there. Those of a group without instances go 30 days after its last commit.`,
      );
    }
    this.#sql.exec(
      `insert into commits (consumer_group, topic, partition, next, at, owner)
       select ?1, value ->> 'topic', value ->> 'partition', value ->> 'offset', ?2, ?4 from json_each(?3) where true
       on conflict (consumer_group, topic, partition) do update set next = excluded.next, at = excluded.at`,
      group,
      now,
      JSON.stringify(changed),
      owner,
    );
    this.#counts.set(owner, count);
    for (const entry of changed) this.#remember(keyOf(group, entry), entry.offset);
    return null;
  }

  /** The group's committed offset of a partition; undefined when it has none. */
  committed(group: string, at: TopicPartition): number | undefined {
    const key = keyOf(group, at);
    const known = this.#known.get(key);
    if (known !== undefined) return known ?? undefined;
    const [row] = this.#sql
      .exec<{ next: number }>(
        "select next from commits where consumer_group = ? and topic = ? and partition = ?",
        group,
        at.topic,
        at.partition,
      )
      .toArray();
    this.#remember(key, row?.next ?? null);
    return row?.next;
  }

  /**
   * Forgets groups that last committed before the retention and that `isLive` doesn't know, some at a time. Answers
   * whether there are more to look at.
   */
  sweep(now: number, isLive: (group: string) => boolean): boolean {
    let rows = 0;
    for (let groups = 0; groups < SWEEP_GROUPS && rows < SWEEP_ROWS; groups += 1) {
      const { group } = this.#sql
        .exec<{ group: string | null }>(
          `select min(consumer_group) as "group" from commits where consumer_group > ?`,
          this.#sweptTo,
        )
        .one();
      this.#sweptTo = group ?? "";
      if (group === null) return false;
      const { last, count } = this.#sql
        .exec<{ last: number; count: number }>(
          "select max(at) as last, count(*) as count from commits where consumer_group = ?",
          group,
        )
        .one();
      rows += count;
      if (last >= now - COMMIT_RETENTION_MS || isLive(group)) continue;
      this.#sql.exec("delete from commits where consumer_group = ?", group);
      this.#known.clear();
      this.#counts.clear();
    }
    return true;
  }

  #countOf(owner: string): number {
    const known = this.#counts.get(owner);
    if (known !== undefined) return known;
    if (this.#counts.size >= MAX_REMEMBERED) this.#counts.clear();
    const { count } = this.#sql
      .exec<{ count: number }>("select count(*) as count from commits where owner = ?", owner)
      .one();
    this.#counts.set(owner, count);
    return count;
  }

  #remember(key: string, offset: number | null): void {
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
    this.#known.set(key, offset);
  }
}

/** No name holds a line feed. */
function keyOf(group: string, { topic, partition }: TopicPartition): string {
  return `${group}\n${partitionKey(topic, partition)}`;
}
