/**
 * Waits for word that this host is about to be taken away: from the metadata service of its cloud, where one answers,
 * or by a file that somebody makes.
 *
 *   probing ── a cloud's service answers ──▶ watching it ── notice ──▶ told;  none answers ──▶ watching the file only
 */
import { lstat, readFile, rm } from "node:fs/promises";
import type { Logger } from "pino";
import type { Clock } from "../scheduling/clock.ts";
import { createHttpClient } from "../transport/http-client.ts";
import { cloudNames, clouds } from "./clouds.ts";
import type { CloudName } from "./clouds.ts";
import type { Ask, Cloud, Notice } from "./notice.ts";

const PROBE_MS = 1000;
const FILE_EVERY_MS = 250;
/** After a look that failed. */
const RETRY_MS = 2000;

export type PreemptionOptions = {
  clock: Clock;
  log: Logger;
  /** `auto`: whichever answers. */
  cloud: CloudName | "auto" | "off";
  metadataUrl: URL;
  /** A file whose appearance is a notice; what it holds is the time in seconds. */
  file: string;
  /** The time of a file that names none. */
  fileMs: number;
  /** When this life of the pool began, in milliseconds since 1970; default: when its process did. */
  bornAtMs?: number;
  onNotice(notice: Notice): void;
};

export class PreemptionWatch {
  /** Whose notices it waits for; null: nobody's but the file's. */
  cloud: CloudName | null = null;
  /** The last notice that came. */
  notice: Notice | null = null;
  readonly #options: PreemptionOptions;
  /** Why it can't be seen whether the file is there; null while it can. */
  #blindness: string | null = null;

  constructor(options: PreemptionOptions) {
    this.#options = options;
  }

  /** Forgets a file that an earlier life left, and waits from then on. One made while this life began is a notice. */
  async start(): Promise<void> {
    const { file, log, bornAtMs = performance.timeOrigin } = this.#options;
    const isNew = await lstat(file).then(
      (found) => found.isFile() && found.mtimeMs >= bornAtMs,
      () => false,
    );
    if (isNew) {
      this.#watchFile();
      return this.#find();
    }
    const stuck = await rm(file, { force: true }).then(
      () => null,
      (error: unknown) => error,
    );
    if (stuck === null || !(await isThere(file))) this.#watchFile();
    else log.warn({ file, problem: String(stuck) }, "the drain file can't be removed: no file starts a drain");
    await this.#find();
  }

  async #find(): Promise<void> {
    const { cloud, log, metadataUrl } = this.#options;
    if (cloud === "off") return;
    const http = createHttpClient(metadataUrl, {});
    const ask: Ask = async (method, path, headers, timeoutMs = PROBE_MS) => {
      const reply = await http.request({ method, path, headers, timeoutMs });
      const dateMs = Date.parse(reply.headers.date ?? "");
      return { ...reply, dateMs: Number.isNaN(dateMs) ? null : dateMs };
    };
    const names = cloud === "auto" ? cloudNames : [cloud];
    const found = await Promise.all(
      names.map(async (name) => {
        const service = clouds[name](ask);
        return (await service.probe().catch(() => false)) ? { name, service } : null;
      }),
    );
    const mine = found.find((one) => one !== null) ?? null;
    if (mine === null) {
      http.close();
      if (cloud !== "auto")
        log.warn({ cloud, metadataUrl }, "no metadata service of this cloud answers: no notices come");
      return;
    }
    this.cloud = mine.name;
    log.info({ cloud: mine.name }, "waiting for notices of preemption");
    void this.#watchCloud(mine.service);
  }

  async #watchCloud(cloud: Cloud): Promise<void> {
    const { clock, log } = this.#options;
    let worked = true;
    for (;;) {
      try {
        const notice = await cloud.look();
        worked = true;
        if (notice !== null) return this.#told(notice);
      } catch (error) {
        if (worked) log.warn({ problem: String(error) }, "notices of preemption can't be read; trying on");
        worked = false;
      }
      const restMs = worked ? cloud.everyMs : RETRY_MS;
      await new Promise<void>((resolve) => clock.after(restMs, resolve));
    }
  }

  #watchFile(): void {
    const { clock, file } = this.#options;
    clock.after(FILE_EVERY_MS, () => {
      void readFile(file, "utf8").then(
        (text) => this.#foundFile(text),
        (error: unknown) => this.#unread(error),
      );
    });
  }

  #foundFile(text: string): void {
    const { file, fileMs } = this.#options;
    const seconds = Number(text);
    const withinMs = text.trim() === "" || !(seconds >= 0) ? fileMs : seconds * 1000;
    this.#told({ withinMs, why: `${file} is there` });
  }

  /** It isn't there, or what is there can't be read: then that it appeared is the notice. */
  async #unread(error: unknown): Promise<void> {
    const { file, log } = this.#options;
    if (await isThere(file)) {
      log.warn({ file, problem: String(error) }, "the drain file can't be read: its appearance alone counts");
      return this.#foundFile("");
    }
    const blindness = isMissing(error) ? null : String(error);
    if (blindness !== null && blindness !== this.#blindness)
      log.warn({ file, problem: blindness }, "whether the drain file is there can't be seen; trying on");
    this.#blindness = blindness;
    this.#watchFile();
  }

  #told(notice: Notice): void {
    this.notice = notice;
    this.#options.onNotice(notice);
  }
}

async function isThere(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  );
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
