/**
 * What the attempts of this pool's claims take. A claim has an attempt at a time: its next one begins when a batch that
 * failed was halved.
 *
 *   granted ──▶ waits ── begin ──▶ runs ⇄ off (its process died before its turn)
 *                 ▲                  └── taken ──▶ told, and it may run again ──▶ waits
 */
import type { ClaimRef } from "../../src/contract/channel.ts";
import type { Json } from "../../src/contract/prediction.ts";
import type { AttemptUsage, Units, UsageReport } from "../../src/contract/usage.ts";
import type { Clock } from "../scheduling/clock.ts";
import type { Attempt, DeviceLedger } from "./device-ledger.ts";
import { nowUs } from "./ledger-clock.ts";
import { unitsOf } from "./units.ts";

type Claim = {
  readonly id: string;
  /** The number of the start that was counted last. */
  attempt: number;
  waitsSinceUs: number;
  units: Units | undefined;
  run: Run | null;
  /** Nothing more is told of it by events. */
  isOver: boolean;
};
/** `sinceUs`: when it began last; `ranUs`: how long it ran before. */
type Run = {
  attempt: number;
  devices: readonly string[];
  queuedUs: number;
  sinceUs: number;
  holding: Attempt | null;
  ranUs: number;
  gpuUs: number;
};

export class AttemptMeter {
  readonly #ledger: DeviceLedger;
  readonly #clock: Clock;
  readonly #kindOf: (device: string) => string;
  readonly #claims = new Map<string, Claim>();

  constructor(ledger: DeviceLedger, clock: Clock, kindOf: (device: string) => string) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#kindOf = kindOf;
  }

  /** Claims of which something may still have to be told. */
  get size(): number {
    return this.#claims.size;
  }

  granted({ id, token, attempt }: ClaimRef & { attempt: number }): void {
    const waitsSinceUs = nowUs(this.#clock);
    this.#claims.set(token, { id, attempt, waitsSinceUs, units: undefined, run: null, isOver: false });
  }

  /** The edge counted a start of it. */
  counted(token: string, attempt: number): void {
    const claim = this.#claims.get(token);
    if (claim !== undefined) claim.attempt = attempt;
  }

  /** It runs on these devices from now on. */
  begin(token: string, devices: readonly string[], cost: number): void {
    const claim = this.#claims.get(token);
    if (claim === undefined || (claim.run !== null && claim.run.holding !== null)) return;
    const sinceUs = nowUs(this.#clock);
    const holding = this.#ledger.begin(devices, cost, sinceUs);
    if (claim.run === null) claim.units = undefined;
    const { queuedUs, ranUs, gpuUs } = claim.run ?? { queuedUs: sinceUs - claim.waitsSinceUs, ranUs: 0, gpuUs: 0 };
    claim.run = { attempt: claim.attempt, devices, queuedUs, sinceUs, holding, ranUs, gpuUs };
  }

  /** It has left its devices; the same attempt may begin again, or is over. */
  off(token: string): void {
    const run = this.#claims.get(token)?.run;
    if (run === undefined || run === null || run.holding === null) return;
    const now = nowUs(this.#clock);
    run.gpuUs += this.#ledger.end(run.holding, now);
    run.ranUs += now - run.sinceUs;
    run.holding = null;
  }

  /** All that the model recorded so far. */
  recorded(token: string, metrics: Readonly<Record<string, Json>>): void {
    const claim = this.#claims.get(token);
    if (claim !== undefined) claim.units = unitsOf(metrics);
  }

  /** Its attempt is over: what it took, once; undefined for one that did not begin. */
  take(token: string): AttemptUsage | undefined {
    return this.#take(token)?.usage;
  }

  /** The same for a report of its own. */
  report(token: string, outcome: UsageReport["outcome"]): UsageReport | undefined {
    const taken = this.#take(token);
    return taken === undefined
      ? undefined
      : { id: taken.id, token, attempt: taken.attempt, outcome, usage: taken.usage };
  }

  /** The edge wants no more events of it: what still runs is told by a report. */
  ended(token: string): void {
    const claim = this.#claims.get(token);
    if (claim === undefined) return;
    claim.isOver = true;
    if (claim.run === null) this.#claims.delete(token);
  }

  #take(token: string): { id: string; attempt: number; usage: AttemptUsage } | undefined {
    this.off(token);
    const claim = this.#claims.get(token);
    if (claim === undefined || claim.run === null) return undefined;
    const { id, run, units } = claim;
    claim.run = null;
    claim.waitsSinceUs = nowUs(this.#clock);
    if (claim.isOver) this.#claims.delete(token);
    const usage: AttemptUsage = {
      device: this.#kindOf(run.devices[0] ?? "cpu"),
      ...(run.devices.length > 1 ? { devices: run.devices.length } : {}),
      queuedMs: msOf(run.queuedUs),
      runMs: msOf(run.ranUs),
      gpuUs: run.gpuUs,
      ...(units === undefined ? {} : { units }),
    };
    return { id, attempt: run.attempt, usage };
  }
}

function msOf(us: number): number {
  return Math.round(us / 1000);
}
