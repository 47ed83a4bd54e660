/** What this pool was granted: who runs each claim, and what the edge says of it meanwhile. */
import type { ClaimRef } from "../src/contract/channel.ts";
import type { Grant } from "../src/contract/claim.ts";
import { modelPath } from "../src/contract/manifest.ts";
import type { Delivery } from "./delivery/delivery.ts";
import { EndedClaims } from "./delivery/ended-claims.ts";
import type { Journal } from "./delivery/journal.ts";
import type { HandBacks } from "./hand-backs.ts";
import { distinct } from "./intake/grants.ts";
import type { AttemptMeter } from "./metering/attempt-meter.ts";
import type { ModelSet } from "./model-set.ts";
import type { RoomTeller } from "./room-teller.ts";
import type { ModelRunner } from "./runtime/model-runner.ts";
import { createPrediction } from "./runtime/prediction.ts";
import type { Clock } from "./scheduling/clock.ts";
import type { Suspects } from "./suspects.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import { versionKey } from "./version-key.ts";

/** How long events wait for the end of a suspect, so that the next one's start leaves with them. */
const LINGER_MS = 25;

export type ClaimsOptions = {
  clock: Clock;
  metrics: Metrics;
  journal: Journal;
  meter: AttemptMeter;
  draining(): boolean;
};

/** Those that a claim passes through; each is made after the claims are. */
export type Stations = {
  models: ModelSet;
  delivery: Delivery;
  suspects: Suspects;
  rooms: RoomTeller;
  handBacks: HandBacks;
};

export class Claims {
  /** Every claim that is held or whose events are not all at the edge yet. */
  readonly held = new Map<string, ModelRunner | null>();
  readonly over = new EndedClaims();
  readonly #options: ClaimsOptions;
  readonly #stations: () => Stations;

  constructor(options: ClaimsOptions, stations: () => Stations) {
    this.#options = options;
    this.#stations = stations;
  }

  granted(grants: Grant[]): void {
    const fresh = distinct(grants).filter(({ token }) => !this.held.has(token) && !this.over.has(token));
    this.#options.journal.held(fresh);
    this.#stations().rooms.received(fresh);
    const nowMs = this.#options.clock.nowMs();
    for (const grant of fresh) this.#take(grant, nowMs);
  }

  verdict(ref: ClaimRef, verdict: "started" | "aborted" | "stale", attempt?: number): void {
    const { suspects, delivery } = this.#stations();
    const runner = this.held.get(ref.token);
    if (verdict === "started") {
      if (attempt !== undefined) this.#options.meter.counted(ref.token, attempt);
      runner?.started(ref.token);
      if (suspects.keepsWaiting(ref.token)) delivery.lingerFor(ref.token, LINGER_MS);
    } else {
      this.#options.metrics.stale.inc();
      runner?.stop(ref.token, "stale");
    }
  }

  cancel(claims: readonly ClaimRef[]): void {
    const { suspects } = this.#stations();
    for (const { token } of claims) {
      if (!suspects.cancel(token)) this.held.get(token)?.stop(token, "canceled");
    }
  }

  /** All their events are at the edge. */
  ended(tokens: string[]): void {
    const { suspects } = this.#stations();
    this.#options.journal.ended(tokens);
    for (const token of tokens) {
      this.held.delete(token);
      this.#options.meter.ended(token);
      this.over.add(token);
      suspects.ended(token);
    }
  }

  #take(grant: Grant, nowMs: number): void {
    const { metrics, draining } = this.#options;
    const { models, delivery, suspects, rooms, handBacks } = this.#stations();
    const runner = models.find(grant.model);
    metrics.got(runner === undefined ? "unknown" : modelPath(grant.model), grant.attempt);
    if (draining() || runner === undefined) {
      const gone = models.isLeaving(grant.model) ? "no_room" : "cannot_run";
      handBacks.handBack(grant, draining() ? "drain" : gone, grant.seq);
      rooms.refused(grant);
      return;
    }
    metrics.rates.granted(versionKey(grant.model), nowMs);
    this.held.set(grant.token, runner);
    this.#options.meter.granted(grant);
    delivery.open(grant, grant.seq);
    const prediction = createPrediction(grant, nowMs);
    if (grant.alone) suspects.add(runner, prediction);
    else runner.accept(prediction);
  }
}
