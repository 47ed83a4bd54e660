/**
 * Who waits in a broker: consumes, one a member, and fetches, by partition. A wait ends by a wake, a cancel, or its
 * time.
 */
import type { ObjectTimers } from "../object-timers.ts";
import type { Member } from "./groups.ts";

type Wait = { canceled: boolean; wake: (() => void) | null };

export class Waits {
  readonly #timers: ObjectTimers;
  readonly #waits = new Map<string, Wait>();
  readonly #current = new WeakMap<Member, string>();
  readonly #byPartition = new Map<string, Set<() => void>>();

  constructor(timers: ObjectTimers) {
    this.#timers = timers;
  }

  /** A consume begins; it supersedes the member's earlier one, whose caller is most likely gone. */
  begin(waitId: string, member: Member): void {
    this.#waits.set(waitId, { canceled: false, wake: null });
    this.#current.set(member, waitId);
    member.wake?.();
  }

  /** A consume is over. Answers whether it was the member's latest. */
  end(waitId: string, member: Member): boolean {
    this.#waits.delete(waitId);
    return this.#current.get(member) === waitId && this.#current.delete(member);
  }

  /** Whether the member consumed again since. */
  isSuperseded(waitId: string, member: Member): boolean {
    return this.#current.get(member) !== waitId;
  }

  isCanceled(waitId: string): boolean {
    return this.#waits.get(waitId)?.canceled !== false;
  }

  cancel(waitId: string): void {
    const wait = this.#waits.get(waitId);
    if (wait === undefined) return;
    wait.canceled = true;
    wait.wake?.();
  }

  /** Waits until the member is woken or `until`. */
  async forMember(member: Member, until: number): Promise<void> {
    const waitId = this.#current.get(member);
    const wait = waitId === undefined ? undefined : this.#waits.get(waitId);
    let own: () => void = () => undefined;
    await this.#sleepUntil(until, (wake) => {
      own = wake;
      member.wake = wake;
      if (wait !== undefined) wait.wake = wake;
    });
    // A later consume of the member may wait by now.
    if (member.wake === own) member.wake = null;
  }

  /** Waits until one of the partitions gets a record; false when the time is up or the wait was canceled. */
  async forPartitions(waitId: string, keys: readonly string[], until: number): Promise<boolean> {
    if (Date.now() >= until) return false;
    const wait: Wait = { canceled: false, wake: null };
    this.#waits.set(waitId, wait);
    let woken = false;
    let onRecord: () => void = () => undefined;
    await this.#sleepUntil(until, (wake) => {
      wait.wake = wake;
      onRecord = () => {
        woken = true;
        wake();
      };
      for (const key of keys) this.#waiters(key).add(onRecord);
    });
    for (const key of keys) {
      const waiters = this.#waiters(key);
      waiters.delete(onRecord);
      if (waiters.size === 0) this.#byPartition.delete(key);
    }
    this.#waits.delete(waitId);
    return woken && !wait.canceled;
  }

  /** A partition got records. */
  wake(key: string): void {
    for (const wake of this.#byPartition.get(key) ?? []) wake();
  }

  #waiters(key: string): Set<() => void> {
    const waiters = this.#byPartition.get(key) ?? new Set<() => void>();
    this.#byPartition.set(key, waiters);
    return waiters;
  }

  async #sleepUntil(until: number, onStart: (wake: () => void) => void): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const giveUp = this.#timers.after(until - Date.now(), resolve);
    onStart(resolve);
    await promise;
    giveUp();
  }
}
