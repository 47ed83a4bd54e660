/**
 * Tokens of rented machines: made before the machine, renewed while it stays, and revoked when it is to be returned. A
 * token is good for a day after the last look at it, and beyond the time to boot until the machine has connected.
 */
import type { ScalingSettings } from "../../contract/scaling.ts";
import type { Env } from "../../env.ts";
import { machineToken, renewMachineToken, revokePoolToken } from "../../registry/pool-tokens.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import { settingsOf } from "./class-state.ts";
import type { Machine } from "./machine.ts";
import type { MachineBook } from "./machine-book.ts";

const TOKEN_MS = 86_400_000;
const RENEW_BEFORE_MS = 43_200_000;
const UNCONNECTED_SLACK_MS = 600_000;

export class MachineTokens {
  readonly #env: Env;
  readonly #known = new Map<string, { secret: string; expiresAt: number }>();
  readonly #revoked = new Set<string>();

  constructor(env: Env) {
    this.#env = env;
  }

  /** Null: it can't be made now. */
  async secretOf({ id, hardware }: Machine, settings: ScalingSettings): Promise<string | null> {
    const known = this.#known.get(id);
    if (known !== undefined) return known.secret;
    const { lanes, owners, boot_timeout_s: bootS } = settingsOf(settings, hardware);
    const expiresAt = Date.now() + bootS * 1000 + UNCONNECTED_SLACK_MS;
    try {
      const secret = await machineToken(this.#env, id, { lanes, owners, expiresAt });
      this.#known.set(id, { secret, expiresAt });
      return secret;
    } catch (error) {
      log.warn("machine_token_not_made", { machine: id, reason: reasonOf(error) });
      return null;
    }
  }

  /** Renews the tokens of machines that stay, and revokes those of machines that don't. */
  async keep(book: MachineBook): Promise<void> {
    const now = Date.now();
    for (const { id, state, connectedAtMs } of book.all()) {
      const known = this.#known.get(id);
      try {
        if (state === "gone" && !this.#revoked.has(id)) {
          this.#revoked.add(id);
          this.#known.delete(id);
          await revokePoolToken(this.#env.DB, id);
        } else if (state !== "gone" && connectedAtMs !== null && (known?.expiresAt ?? 0) - now < RENEW_BEFORE_MS) {
          this.#known.set(id, { secret: "", expiresAt: now + TOKEN_MS });
          await renewMachineToken(this.#env.DB, id, now + TOKEN_MS);
        }
      } catch (error) {
        this.#revoked.delete(id);
        this.#known.delete(id);
        log.warn("machine_token_not_kept", { machine: id, reason: reasonOf(error) });
      }
    }
    for (const id of this.#revoked) if (book.get(id) === undefined) this.#revoked.delete(id);
    await this.#revokeForgotten(book);
  }

  /** What was refused, or lost, was never `gone`: should it appear all the same, it is let in no more. */
  async #revokeForgotten(book: MachineBook): Promise<void> {
    for (const [id, known] of this.#known) {
      if (book.get(id) !== undefined) continue;
      this.#known.delete(id);
      try {
        await revokePoolToken(this.#env.DB, id);
      } catch (error) {
        this.#known.set(id, known);
        log.warn("machine_token_not_kept", { machine: id, reason: reasonOf(error) });
      }
    }
  }
}
