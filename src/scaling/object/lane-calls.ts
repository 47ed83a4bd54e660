/** The scaler's calls to lanes, for what waits there. */
import type { Env } from "../../env.ts";
import { callObject, objectNamed } from "../../object-calls.ts";
import { within } from "../../shard/within.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import type { LaneDemand } from "../demand.ts";
import type { ScalerCore } from "./core.ts";

/** How long a lane may take: others, and the scaler's looks, wait for the slowest. */
const ANSWER_MS = 5000;

type RemoteLane = { demand(lane: string): Promise<LaneDemand> };

export class LaneCalls {
  readonly #env: Pick<Env, "LANE">;
  readonly #core: ScalerCore;
  #hasAsked = false;
  #isCalling = false;

  constructor(env: Pick<Env, "LANE">, core: ScalerCore) {
    this.#env = env;
    this.#core = core;
  }

  /** What lanes told an earlier life of the scaler is not stored: they are asked, once. */
  async askSilent(): Promise<void> {
    if (this.#hasAsked) return;
    const silent = this.#core.silentLanes();
    this.#hasAsked = true;
    this.#hasAsked = await this.#ask(silent);
  }

  /**
   * Once something can be rented: calls lanes that asked while nothing could, which tell often from then on. Those that
   * can't be reached are called the next time, or tell by themselves. Answers whether any was called.
   */
  async callWaiting(): Promise<boolean> {
    const waiting = this.#core.isOn ? this.#core.laneNames.waiting() : [];
    if (this.#isCalling || waiting.length === 0) return false;
    this.#isCalling = true;
    await this.#ask(waiting);
    this.#isCalling = false;
    return true;
  }

  /** Whether all of these lanes told what waits there. */
  async #ask(lanes: readonly string[]): Promise<boolean> {
    const told = await Promise.all(
      lanes.map(async (lane) => {
        const stub: unknown = objectNamed(this.#env.LANE, lane);
        try {
          const asked = callObject(() => (stub as RemoteLane).demand(lane));
          this.#core.demand(lane, await within(asked, ANSWER_MS));
          return true;
        } catch (error) {
          log.warn("lane_not_asked", { lane, reason: reasonOf(error) });
          return false;
        }
      }),
    );
    return told.every(Boolean);
  }
}
