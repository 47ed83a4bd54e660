/** The commits of a member: one after the other, and of no partition that others have had meanwhile. */
import type { Consumer } from "@platformatic/kafka";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import { translateError } from "./errors.ts";
import { keyOf } from "./places.ts";
import type { Places, TopicPartitionOffset } from "./places.ts";

/** Offsets on their way to the cluster; `held`: the partitions of them that the member had when they left. */
type Commit = {
  offsets: { topic: string; partition: number; offset: bigint; leaderEpoch: number }[];
  held: ReadonlySet<string>;
};

export class Commits {
  readonly #consumer: Pick<Consumer, "commit" | "groupId">;
  readonly #places: Places;
  /** One at a time: one that is tried again would undo those that overtook it. */
  #turn: Promise<unknown> = Promise.resolve();
  #underWay: Commit | null = null;

  constructor(consumer: Pick<Consumer, "commit" | "groupId">, places: Places) {
    this.#consumer = consumer;
    this.#places = places;
  }

  /**
   * Commits these offsets as they are; without any, all that was handed out. Throws `unknown_member` where the group
   * gave a partition to others before its offset was stored.
   */
  async send(offsets: readonly TopicPartitionOffset[] | undefined): Promise<void> {
    const turn = this.#turn.then(async () => this.#sendNow(offsets));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /**
   * The partitions are others than before. The library sends a commit that was refused once more when it has joined
   * again, with the offsets that stand in it then: those of partitions that left must go no more, as others may be
   * further on.
   */
  dropMoved(): void {
    const commit = this.#underWay;
    if (commit === null) return;
    commit.offsets = commit.offsets.filter(
      (entry) => !commit.held.has(keyOf(entry)) || this.#places.get(entry) !== undefined,
    );
  }

  async #sendNow(offsets: readonly TopicPartitionOffset[] | undefined): Promise<void> {
    const sent = offsets ?? this.#places.uncommitted;
    if (sent.length === 0) return;
    const commit: Commit = {
      offsets: sent.map(({ topic, partition, offset }) => {
        const next = BigInt(offset);
        return { topic, partition, offset: next, leaderEpoch: -1 };
      }),
      held: new Set(sent.filter((entry) => this.#places.get(entry) !== undefined).map(keyOf)),
    };
    this.#underWay = commit;
    try {
      await this.#consumer.commit(commit);
    } catch (error) {
      throw translateError(error, `group "${this.#consumer.groupId}"`);
    } finally {
      this.#underWay = null;
    }
    this.#places.settle(commit.offsets.map((entry) => ({ ...entry, offset: Number(entry.offset) })));
    if (offsets === undefined || commit.offsets.length === sent.length) return;
    const text = "The group was rebalanced before the commit was stored, and gave some of its partitions to others";
    throw new EdgeplaneError("unknown_member", `${text}: consume again.`);
  }
}
