/**
 * The topics that a broker knows, whose they are, and what they take. The list is in memory: `MAX_TOPICS` bounds it.
 */
import { failure } from "./protocol.ts";
import type { Append, Failure, OwnedTopic, TopicInfo } from "./protocol.ts";
import type { UserQuotas } from "./quotas.ts";

const MAX_TOPICS = 5000;
/** Owners whose size is remembered. */
const MAX_REMEMBERED = 5000;

export class Topics {
  readonly #sql: SqlStorage;
  readonly #topics = new Map<string, OwnedTopic>();
  /** What the topics of an owner take here, in bytes. */
  readonly #bytes = new Map<string, number>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    type Row = { topic: string; partitions: number; owner: string | null };
    for (const { topic, ...info } of sql.exec<Row>("select topic, partitions, owner from topics")) {
      this.#topics.set(topic, info);
    }
  }

  all(): TopicInfo[] {
    return [...this.#topics].map(([topic, { partitions }]) => ({ topic, partitions }));
  }

  has(topic: string): boolean {
    return this.#topics.has(topic);
  }

  /** Undefined when the topic isn't known here. */
  get(topic: string): OwnedTopic | undefined {
    return this.#topics.get(topic);
  }

  /** Makes the topic known here; the first count and the first owner that it is given stay. */
  add(topic: string, partitions: number, owner: string | null): OwnedTopic {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known;
    const info = { partitions, owner };
    this.#sql.exec("insert or ignore into topics values (?, ?, ?)", topic, partitions, owner);
    this.#topics.set(topic, info);
    return info;
  }

  /** Its row was rolled back. */
  forget(topic: string): void {
    this.#topics.delete(topic);
  }

  /** The topics that `owner` made, as far as they are known here. */
  ownedBy(owner: string): string[] {
    return [...this.#topics].flatMap(([topic, info]) => (info.owner === owner ? [topic] : []));
  }

  /** Why no further topic can be made by `owner`, who made so many `elsewhere`; null: it can. */
  refuse(owner: string | null, { topics: most }: Pick<UserQuotas, "topics">, elsewhere = 0): Failure | null {
    // The edge's own are few, and what it would publish there must not be lost for what users have made.
    if (owner === null) return null;
    if (this.#topics.size >= MAX_TOPICS) {
      return failure("invalid_request", `This log has ${MAX_TOPICS} topics; it takes no more. Use one that is there.`);
    }
    const count = elsewhere + this.ownedBy(owner).length;
    if (count < most) return null;
    return failure(
      "quota_exceeded",
      `These credentials have made ${count} topics, of ${most} (LOG_USER_TOPICS); use one that is there.`,
    );
  }

  /** Why these records can't be appended: the owner of a topic has as many bytes as it may. Null: they can. */
  refuseBytes(appends: readonly Append[], { bytes: most }: Pick<UserQuotas, "bytes">): Failure | null {
    for (const { topic, owner: named } of appends) {
      const owner = this.#topics.get(topic)?.owner ?? named;
      const bytes = owner === null ? 0 : this.bytesOf(owner);
      if (owner === null || bytes < most) continue;
      return failure(
        "quota_exceeded",
        `The topics of whoever made \`${topic}\` take ${bytes} bytes at this broker, of ${most} (LOG_USER_BYTES); wait until retention has made room, or have the operator raise it.`,
      );
    }
    return null;
  }

  /** What the topics of `owner` take here. Counted once in the object's life, by two rows a partition. */
  bytesOf(owner: string): number {
    const known = this.#bytes.get(owner);
    if (known !== undefined) return known;
    const { bytes } = this.#sql
      .exec<{ bytes: number }>(
        `select coalesce(sum(max(0,
           (select total from batches where partition = p.id order by base desc limit 1)
           - (select total - bytes from batches where partition = p.id order by base limit 1))), 0) as bytes
         from topics t cross join partitions p on p.topic = t.topic where t.owner = ?`,
        owner,
      )
      .one();
    if (this.#bytes.size >= MAX_REMEMBERED) this.#bytes.clear();
    this.#bytes.set(owner, bytes);
    return bytes;
  }

  /** The topic takes so much more. */
  resize(topic: string, by: number): void {
    const owner = this.#topics.get(topic)?.owner ?? null;
    const bytes = owner === null ? undefined : this.#bytes.get(owner);
    if (owner !== null && bytes !== undefined) this.#bytes.set(owner, Math.max(0, bytes + by));
  }
}
