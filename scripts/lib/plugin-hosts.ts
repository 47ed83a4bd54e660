/**
 * The workerds of uploaded plugins on one's own machine, one for each version, where a plugin that never stops
 * computing hangs nobody but itself. The Worker asks for one (`start`) and reports one whose hook ran out of time
 * (`suspect`): one that doesn't answer a ping then is killed, and after three such ends it is in quarantine for a
 * while.
 *
 *     absent → starting → up → (hung or dead) → absent … quarantined → absent
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { firstListen, hostCommand, hostConfig } from "./plugin-host-config.ts";

const START_LIMIT_MS = 5000;
const PING_LIMIT_MS = 500;
const STRIKES = 3;
const STRIKES_WITHIN_MS = 600_000;
const QUARANTINE_MS = 600_000;
/**
 * When more are wanted, one ends: the first that was started of the owner who has the most. Those of pushed models have
 * as many of their own.
 */
const MAX_HOSTS = 16;
const STDERR_CHARS = 2000;
/** Where workerd says on which port it listens. */
const CONTROL = "--control-fd=3";
/** Miniflare's own workerd reads its configuration from its input. */
const CONFIG = "config.capnp";

/** `key` names the version and what it was granted. */
export const HostStartSchema = z.object({
  key: z.string(),
  code: z.string(),
  network: z.array(z.string()),
  /** The owner of the pushed model that it came with; null: it is the operator's. */
  pushedBy: z.string().nullable().default(null),
});
type Start = z.output<typeof HostStartSchema>;
export type HostAnswer = { url: string; token: string } | { problem: string };

type Host = {
  child: ChildProcess;
  folder: string;
  answer: Promise<HostAnswer>;
  pushedBy: string | null;
  isWanted: boolean;
};

export type PluginHostsOptions = {
  say: (line: string) => void;
  onProcess: (pid: number) => void;
  /** Lets plugins that were granted hosts reach them; false: no way out at all. */
  hasNetwork: boolean;
  startLimitMs?: number;
  maxHosts?: number;
  now?: () => number;
};

export class PluginHosts {
  readonly #options: PluginHostsOptions;
  readonly #hosts = new Map<string, Host>();
  readonly #strikes = new Map<string, number[]>();

  constructor(options: PluginHostsOptions) {
    this.#options = options;
  }

  /** The host of a version, started if it isn't up; or why there is none. */
  start(wanted: Start): Promise<HostAnswer> {
    const quarantined = this.#quarantineOf(wanted.key);
    if (quarantined !== null) return Promise.resolve({ problem: quarantined });
    const host = this.#hosts.get(wanted.key) ?? this.#launch(wanted);
    return host.answer;
  }

  /** Kills the host of a version that doesn't answer. */
  async suspect(key: string): Promise<void> {
    const host = this.#hosts.get(key);
    if (host === undefined) return;
    const answer = await host.answer;
    if ("problem" in answer || (await answersPing(answer))) return;
    this.#options.say(`plugin │ ${key.slice(0, 12)} hung; it was ended`);
    host.child.kill("SIGKILL");
  }

  stop(): void {
    for (const host of this.#hosts.values()) {
      host.isWanted = false;
      host.child.kill("SIGKILL");
    }
  }

  #launch(wanted: Start): Host {
    const { pushedBy } = wanted;
    const isPushed = pushedBy !== null;
    this.#makeRoom(pushedBy);
    const token = randomBytes(24).toString("hex");
    const folder = mkdtempSync(join(tmpdir(), "edgeplane-plugin-"));
    for (const [file, text] of hostConfig({ ...wanted, isPushed }, token, this.#options.hasNetwork)) {
      writeFileSync(join(folder, file), text, { mode: 0o600 });
    }
    const [program, args] = hostCommand(["serve", CONFIG, CONTROL, "--experimental"], isPushed);
    const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "ignore", "pipe", "pipe"], env: {} });
    if (child.pid !== undefined) this.#options.onProcess(child.pid);
    const host: Host = { child, folder, answer: this.#whenUp(child, token), pushedBy, isWanted: true };
    this.#hosts.set(wanted.key, host);
    child.once("exit", () => this.#ended(wanted.key, host));
    child.once("error", () => this.#ended(wanted.key, host));
    return host;
  }

  async #whenUp(child: ChildProcess, token: string): Promise<HostAnswer> {
    let complaint = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(0, STDERR_CHARS);
    });
    const port = await firstListen(child, this.#options.startLimitMs ?? START_LIMIT_MS);
    if (port !== null) return { url: `http://127.0.0.1:${port}`, token };
    child.kill("SIGKILL");
    return { problem: complaint === "" ? "the module did not finish loading in time" : complaint };
  }

  #ended(key: string, host: Host): void {
    if (this.#hosts.get(key) === host) this.#hosts.delete(key);
    rmSync(host.folder, { recursive: true, force: true });
    if (!host.isWanted) return;
    host.isWanted = false;
    for (const other of this.#strikes.keys()) if (this.#recentStrikes(other).length === 0) this.#strikes.delete(other);
    this.#strikes.set(key, [...this.#recentStrikes(key), this.#now()]);
  }

  #recentStrikes(key: string): number[] {
    return (this.#strikes.get(key) ?? []).filter((at) => this.#now() - at < STRIKES_WITHIN_MS);
  }

  #quarantineOf(key: string): string | null {
    const strikes = this.#recentStrikes(key);
    const last = strikes.at(-1);
    if (strikes.length < STRIKES || last === undefined) return null;
    const leftMs = last + QUARANTINE_MS - this.#now();
    if (leftMs <= 0) return null;
    const seconds = Math.ceil(leftMs / 1000);
    return `its process hung or died ${strikes.length} times; it is in quarantine for another ${seconds} s`;
  }

  #makeRoom(wantedBy: string | null): void {
    const like = [...this.#hosts.values()].filter(
      ({ pushedBy, isWanted }) => isWanted && (pushedBy === null) === (wantedBy === null),
    );
    if (like.length < (this.#options.maxHosts ?? MAX_HOSTS)) return;
    const counts = new Map([[wantedBy, 1]]);
    for (const { pushedBy } of like) counts.set(pushedBy, (counts.get(pushedBy) ?? 0) + 1);
    const most = Math.max(...counts.values());
    const oldest = like.find(({ pushedBy }) => counts.get(pushedBy) === most);
    if (oldest === undefined) return;
    oldest.isWanted = false;
    oldest.child.kill("SIGKILL");
  }

  #now(): number {
    return (this.#options.now ?? performance.now.bind(performance))();
  }
}

/** Whether `child` is the workerd of a plugin. */
export function isPluginHost(child: ChildProcess): boolean {
  return child.spawnargs.includes(CONFIG);
}

async function answersPing(host: { url: string; token: string }): Promise<boolean> {
  try {
    const headers = { authorization: `Bearer ${host.token}` };
    const answer = await fetch(`${host.url}/ping`, { headers, signal: AbortSignal.timeout(PING_LIMIT_MS) });
    return answer.ok;
  } catch {
    return false;
  }
}
