/** The versions that a lane knows, and how much waits of each, of each priority and of each account. */
import type { Priority } from "../contract/prediction.ts";
import type { Flow } from "./backlog.ts";
import type { FairNode } from "./fair-queue.ts";
import type { LaneRules } from "./rules.ts";
import { versionKey } from "./types.ts";
import { createVersion } from "./version.ts";
import type { Version } from "./version.ts";

export type VersionsDeps = {
  now: () => number;
  rules: Pick<LaneRules, "maxVersions" | "openMs">;
  createNode: (key: string) => FairNode;
  isServed: (key: string) => boolean;
};

export class Versions {
  /** Those of which something waits that nobody has been handed, or that is in the log. */
  readonly busy = new Set<Version>();
  readonly waiting: Record<Priority, number> = { high: 0, normal: 0, low: 0 };
  readonly #deps: VersionsDeps;
  readonly #byKey = new Map<string, Version>();
  readonly #waitingOf = new Map<string, number>();

  constructor(deps: VersionsDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#byKey.size;
  }

  all(): Iterable<Version> {
    return this.#byKey.values();
  }

  get(key: string): Version | undefined {
    return this.#byKey.get(key);
  }

  /** The version, made if it is new. */
  of(ref: { model: string; version: string }): Version {
    const key = versionKey(ref);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    if (this.#byKey.size >= this.#deps.rules.maxVersions) this.#forget();
    const version = createVersion(key, ref.model, ref.version, this.#deps.createNode(key));
    this.#byKey.set(key, version);
    return version;
  }

  /** Whether there is anything to have: it runs, or had room of late. */
  isOpen(key: string): boolean {
    const version = this.#byKey.get(key);
    if (version === undefined) return false;
    return version.inFlight > 0 || this.#deps.now() - version.openAt < this.#deps.rules.openMs;
  }

  /** So many more of a flow's entries wait, and so many more of them may be handed out. */
  count(flow: Flow, rows: number, available: number): void {
    const version = this.of(flow);
    version.waiting[flow.priority] += rows;
    if (flow.priority !== "low") version.totals.arrived += Math.max(0, rows);
    version.available += available;
    this.waiting[flow.priority] += rows;
    const left = this.waitingOf(flow.account) + rows;
    if (left > 0) this.#waitingOf.set(flow.account, left);
    else this.#waitingOf.delete(flow.account);
    this.noteBusy(version);
  }

  noteBusy(version: Version): void {
    if (version.available > 0) version.waitingSince ??= this.#deps.now();
    else version.waitingSince = null;
    const isBusy = version.available + version.released.size > 0;
    version.rate.setBusy(isBusy, this.#deps.now());
    if (isBusy) this.busy.add(version);
    else this.busy.delete(version);
  }

  waitingOf(account: string): number {
    return this.#waitingOf.get(account) ?? 0;
  }

  inFlight(): number {
    let count = 0;
    for (const version of this.#byKey.values()) count += version.inFlight;
    return count;
  }

  #forget(): void {
    for (const [key, { node, inFlight }] of this.#byKey) {
      if (node.flows === 0 && inFlight === 0 && !this.#deps.isServed(key)) this.#byKey.delete(key);
    }
  }
}
