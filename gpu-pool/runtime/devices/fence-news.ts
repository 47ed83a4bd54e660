/** Says when GPUs are fenced, and when they take work again; looks that find the same as before say nothing. */
import type { Logger } from "pino";
import type { DeviceReport } from "./device-watch.ts";

export class FenceNews {
  readonly #log: Pick<Logger, "warn" | "info">;
  /** Their uuids. */
  readonly #fenced = new Set<string>();

  constructor(log: Pick<Logger, "warn" | "info">) {
    this.#log = log;
  }

  /** Answers whether others are fenced than before. */
  looked({ cuda }: DeviceReport): boolean {
    let isNews = false;
    for (const { uuid, id, problem } of cuda) {
      if ((problem !== null) === this.#fenced.has(uuid)) continue;
      isNews = true;
      if (problem === null) {
        this.#fenced.delete(uuid);
        this.#log.info({ id }, "GPU takes work again");
      } else {
        this.#fenced.add(uuid);
        this.#log.warn({ id, problem }, "GPU fenced off");
      }
    }
    return isNews;
  }
}
