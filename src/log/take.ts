/** Takes records for a member from the partitions that it owns, in turn, and moves its positions on. */
import { answerLength } from "./batch.ts";
import type { Member, Owned } from "./groups.ts";
import type { LogMessage } from "./protocol.ts";
import type { PartitionStore } from "./store.ts";

/** Of records in one answer, in characters; one record may be larger. */
export const MAX_ANSWER_BYTES = 1_048_576;
const READ_AHEAD = 64;

/** Whether the member has something to take: a record behind one of its positions. */
export function hasRecords(store: PartitionStore, member: Member): boolean {
  for (const owned of member.owned.values()) {
    if (owned.position !== null && owned.position < store.bounds(owned.topic, owned.partition).end) return true;
  }
  return false;
}

/**
 * Up to `room` records, one of each partition in turn. A position that retention has overtaken moves to where the
 * partition starts.
 */
export function takeRecords(store: PartitionStore, member: Member, room: number): LogMessage[] {
  let sources: OwnedSource[] = [];
  for (const owned of member.owned.values()) {
    const { start, end } = store.bounds(owned.topic, owned.partition);
    if (owned.position === null || owned.position >= end) continue;
    if (owned.position < start) {
      owned.position = start;
      owned.dirty = true;
    }
    sources.push(new OwnedSource(store, owned, Math.min(room, READ_AHEAD)));
  }
  // Whichever is first in one call isn't so in the next.
  const first = sources.length === 0 ? 0 : member.turn++ % sources.length;
  sources = [...sources.slice(first), ...sources.slice(0, first)];
  const taken: LogMessage[] = [];
  let bytes = 0;
  while (sources.length > 0) {
    for (const source of [...sources]) {
      const message = source.peek();
      if (message === undefined) {
        sources = sources.filter((other) => other !== source);
        continue;
      }
      bytes += answerLength(message);
      if (taken.length >= room || (taken.length > 0 && bytes > MAX_ANSWER_BYTES)) return taken;
      source.advance();
      taken.push(message);
    }
  }
  return taken;
}

class OwnedSource {
  readonly #store: PartitionStore;
  readonly #owned: Owned;
  readonly #chunk: number;
  #buffer: LogMessage[] = [];
  #index = 0;
  #readTo: number;

  constructor(store: PartitionStore, owned: Owned, chunk: number) {
    this.#store = store;
    this.#owned = owned;
    this.#chunk = chunk;
    this.#readTo = owned.position ?? 0;
  }

  peek(): LogMessage | undefined {
    const message = this.#buffer[this.#index];
    if (message !== undefined) return message;
    const { topic, partition } = this.#owned;
    const slice = this.#store.read(topic, partition, this.#readTo, { records: this.#chunk, bytes: MAX_ANSWER_BYTES });
    this.#buffer = slice.messages;
    this.#index = 0;
    this.#readTo = slice.next;
    if (slice.messages.length === 0 && slice.next !== this.#owned.position) this.#moveTo(slice.next);
    return this.#buffer[0];
  }

  advance(): void {
    const message = this.#buffer[this.#index++];
    if (message !== undefined) this.#moveTo(this.#index === this.#buffer.length ? this.#readTo : message.offset + 1);
  }

  #moveTo(offset: number): void {
    this.#owned.position = offset;
    this.#owned.dirty = true;
  }
}
