/** What keeps a model's processes within `memoryBytes`: the kernel, or the pool, which looks every second. */

/** For the processes of one launch; the kernel ends all of them when they want more. */
export type MemoryGroup = {
  readonly bytes: number;
  /** A command that enters the group and becomes the one that stands behind it. */
  readonly command: readonly string[];
  /** Whether the kernel ended them for want of memory. */
  ranOut(): boolean;
  /** Nothing of it is wanted any more: ends what is left of it, and takes it away. */
  remove(): void;
};

export type MemoryCaps = {
  readonly kind: "cgroup" | "watchdog";
  /** Why it is not the kernel; null where it is. */
  readonly why: string | null;
  /** Null where the pool has to look itself. Throws where the system makes no group after all. */
  group(name: string, bytes: number): MemoryGroup | null;
};

export const watchdog = (why: string): MemoryCaps => ({ kind: "watchdog", why, group: () => null });
