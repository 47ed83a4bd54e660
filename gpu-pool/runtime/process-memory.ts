/**
 * The memory of one process between its runs, and so what a run took beyond it. It is the least that any run of it
 * began with: what an allocator keeps after a run serves the next.
 */
import type { RunMemory } from "./child-messages.ts";

/** A run for which the host's memory grew by less says only that what its process kept was enough. */
const NEWS_BYTES = 1 << 20;

export class ProcessMemory {
  /** What runs are measured by; null before the first. */
  of: RunMemory["of"] | null = null;
  restBytes = 0;
  /** What libraries had of a device when the process was ready, with what they keep for later. */
  readonly readyBytes: number;

  constructor(readyBytes = 0) {
    this.readyBytes = readyBytes;
  }

  /**
   * A run says what it took; answers how much that is beyond what the process has at rest, null where it is no news.
   */
  noted(memory: RunMemory | null): number | null {
    if (memory === null) return null;
    const { of, baseBytes, peakBytes } = memory;
    this.restBytes = this.of === of ? Math.min(this.restBytes, baseBytes) : baseBytes;
    this.of = of;
    if (of === "host" && peakBytes - baseBytes < NEWS_BYTES) return null;
    return Math.max(0, peakBytes - this.restBytes);
  }
}

/** Where a process may take memory from: null where nobody knows how much there is. */
export type Bounds = {
  /** Of each of its devices, all that it may hold. */
  deviceBytes: number | null;
  /** What a load took of a device, with what no library tells of. */
  loadBytes: number | null;
  /** Of the host. */
  hostBytes: number | null;
};

/** What a run of this process may take beyond what that has at rest; Infinity where nobody knows. */
export function leftFor({ of, restBytes, readyBytes }: ProcessMemory, bounds: Bounds): number {
  const { deviceBytes, loadBytes, hostBytes } = bounds;
  if (of === "host") return hostBytes === null ? Infinity : Math.max(0, hostBytes - restBytes);
  if (of === null || deviceBytes === null) return Infinity;
  const untold = Math.max(0, (loadBytes ?? 0) - readyBytes);
  return Math.max(0, deviceBytes - untold - restBytes);
}
