/**
 * One process of the stack that is started again whenever it dies: at once the first time, then after pauses that
 * double, until it has lived for a while.
 *
 *     stopped → running ⇄ waiting to restart → stopping → stopped
 */
import type { ChildProcess } from "node:child_process";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
/** A process that lived this long died of something else: the pauses begin anew. */
const SETTLED_MS = 20_000;

export type SupervisedOptions = {
  name: string;
  /** Starts the process; called again for every restart. */
  spawn: () => ChildProcess;
  /** Asks a process to leave. */
  askToStop: (child: ChildProcess) => void;
  /** How long it may take to leave before it is killed. */
  stopMs: number;
  onExit: (detail: { code: number | null; signal: NodeJS.Signals | null; pauseMs: number }) => void;
};

export type Supervised = {
  readonly pid: number | null;
  start(): void;
  /** Resolves when the process has left, killed if need be; it is not started again. */
  stop(): Promise<void>;
  /** Kills the process as a crash would; it is started again. */
  kill(signal?: NodeJS.Signals): void;
};

export function createSupervised(options: SupervisedOptions): Supervised {
  let child: ChildProcess | null = null;
  let timer: NodeJS.Timeout | null = null;
  let wanted = false;
  let deaths = 0;
  let startedAt = 0;

  function launch(): void {
    timer = null;
    startedAt = performance.now();
    const started = options.spawn();
    child = started;
    let over = false;
    const onEnd = (code: number | null, signal: NodeJS.Signals | null) => {
      if (over) return;
      over = true;
      child = null;
      if (!wanted) return;
      deaths = performance.now() - startedAt > SETTLED_MS ? 1 : deaths + 1;
      const pauseMs = deaths === 1 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (deaths - 2));
      options.onExit({ code, signal, pauseMs });
      timer = setTimeout(launch, pauseMs);
    };
    started.once("exit", onEnd);
    started.once("error", () => onEnd(127, null));
  }

  return {
    get pid() {
      return child?.pid ?? null;
    },
    start() {
      wanted = true;
      if (child === null && timer === null) launch();
    },
    async stop() {
      wanted = false;
      if (timer !== null) clearTimeout(timer);
      timer = null;
      const leaving = child;
      if (leaving === null || leaving.exitCode !== null || leaving.signalCode !== null) return;
      const gone = new Promise<void>((resolve) => leaving.once("exit", () => resolve()));
      const impatience = setTimeout(() => leaving.kill("SIGKILL"), options.stopMs);
      options.askToStop(leaving);
      await gone;
      clearTimeout(impatience);
    },
    kill(signal = "SIGKILL") {
      child?.kill(signal);
    },
  };
}
