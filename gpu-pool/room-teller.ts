/** What the whole pool has room for: its runners' loads, by lane, for statements and for polls. */
import type { ModelRoom, PoolMessage } from "../src/contract/channel.ts";
import type { Grant } from "../src/contract/claim.ts";
import { modelPath } from "../src/contract/manifest.ts";
import { nextChangeInMs, roomsOf, startQuotas } from "./scheduling/room.ts";
import { RoomStatements } from "./intake/room-statements.ts";
import type { Rooms } from "./intake/room-statements.ts";
import type { ModelSet } from "./model-set.ts";
import type { ModelRunner } from "./runtime/model-runner.ts";
import type { Prediction } from "./runtime/prediction.ts";
import type { Clock } from "./scheduling/clock.ts";

export type RoomTellerOptions = {
  clock: Clock;
  models: Pick<ModelSet, "lanes" | "runners" | "offered" | "laneOf">;
  aheadBatches: number;
  /** Suspects that wait for their turn, of this model. */
  suspectsOf(runner: ModelRunner): number;
  draining(): boolean;
  /** False when the channel is down. */
  send(message: PoolMessage): boolean;
};

export class RoomTeller {
  readonly statements: RoomStatements;
  readonly #options: RoomTellerOptions;

  constructor(options: RoomTellerOptions) {
    this.#options = options;
    this.statements = new RoomStatements({ clock: options.clock, rooms: () => this.#rooms(), send: options.send });
  }

  roomsOf(lane: string): readonly ModelRoom[] {
    return this.#rooms().lanes.get(lane) ?? [];
  }

  /** How many of its starts may be counted that don't run yet. */
  startQuota(runner: ModelRunner): number {
    const { runners } = this.#options.models;
    return startQuotas(runners.map((one) => one.load()))[runners.indexOf(runner)] ?? 0;
  }

  received(grants: readonly Grant[]): void {
    this.statements.received(
      grants.map(({ id, model, startNow }) => ({
        id,
        startNow,
        model: modelPath(model),
        version: model.version,
        lane: this.#laneOf(model),
      })),
    );
  }

  ended({ ref, grant, deviceMs }: Prediction): void {
    this.statements.ended(ref.id, this.#laneOf(grant.model), deviceMs);
  }

  /** A grant that no model here takes. */
  refused({ id, model }: Grant): void {
    this.statements.ended(id, this.#laneOf(model), 0);
  }

  /** Null where no model here is this one: then every lane is told. */
  #laneOf(model: Grant["model"]): string | null {
    return this.#options.models.laneOf(model);
  }

  #rooms(): Rooms {
    const { models, suspectsOf, aheadBatches, draining } = this.#options;
    const lanes = new Map<string, ModelRoom[]>(models.lanes.map((lane) => [lane, []]));
    // Lanes that were told of a drain don't count on this pool any more: they hear of ends only.
    if (draining()) return { lanes, changesInMs: Infinity };
    const loads = models.offered.map((runner) => {
      const load = runner.load();
      return { ...load, waiting: load.waiting + suspectsOf(runner) };
    });
    for (const [index, room] of roomsOf(loads, aheadBatches).entries()) lanes.get(loads[index]?.lane ?? "")?.push(room);
    return { lanes, changesInMs: nextChangeInMs(loads) };
  }
}
