/** The edge as the supervisor sees it: a process with Miniflare and a workerd under it, both of which may die. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { EdgeReportSchema } from "./edge-options.ts";
import type { EdgeOptions } from "./edge-options.ts";
import { prefixLines } from "./log-lines.ts";
import type { Say } from "./log-lines.ts";
import { endProcess, isRunning, refOf } from "./process-info.ts";
import type { ProcessRef } from "./process-info.ts";
import { StackError } from "./stack-error.ts";
import { createSupervised } from "./supervised.ts";

const program = fileURLToPath(new URL("edge-process.ts", import.meta.url));

export type Edge = {
  pids(): { edge: number | null; workerd: number | null };
  /** Starts it; resolves when it answers, rejects with `StackError` when it can't start at all. */
  start(): Promise<void>;
  stop(): Promise<void>;
  killEdge(): void;
  killWorkerd(): void;
};

export function createEdge(
  options: Promise<EdgeOptions>,
  say: Say,
  onProcess: (name: string, pid: number) => void,
): Edge {
  let workerd: ProcessRef | null = null;
  /** The workerds of uploaded plugins. */
  let plugins: ProcessRef[] = [];
  let isUp = false;
  const firstReady = Promise.withResolvers<void>();

  function launch() {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      detached: true,
    });
    prefixLines("edge", child.stdout, say);
    prefixLines("edge", child.stderr, say);
    child.on("message", (raw) => {
      const report = EdgeReportSchema.parse(raw);
      if (report.type === "workerd") {
        workerd = refOf("workerd", report.pid);
        onProcess("workerd", report.pid);
      } else if (report.type === "plugin") {
        plugins = [...plugins.filter(isRunning), ...[refOf("plugin", report.pid)].filter((ref) => ref !== null)];
        onProcess("plugin", report.pid);
      } else if (report.type === "ready") {
        if (isUp) say("edge │ back");
        isUp = true;
        firstReady.resolve();
      } else {
        firstReady.reject(new StackError(`the edge can't start: ${report.message}`));
      }
    });
    child.once("spawn", () => {
      if (child.pid !== undefined) onProcess("edge", child.pid);
      // The process loads Miniflare while the Worker is still being bundled.
      options.then((ready) => child.send(ready), firstReady.reject);
    });
    return child;
  }

  async function endChildren(): Promise<void> {
    const children = workerd === null ? plugins : [workerd, ...plugins];
    await Promise.all(children.map(endProcess));
  }

  const supervised = createSupervised({
    name: "edge",
    stopMs: 5_000,
    askToStop: (child) => child.send({ type: "stop" }),
    spawn: launch,
    onExit({ code, signal, pauseMs }) {
      say(`edge │ died (${signal ?? code}); starting it again${pauseMs > 0 ? ` in ${pauseMs} ms` : ""}`);
      if (!isUp) firstReady.reject(new StackError("the edge ended before it answered; its message stands above."));
      // A workerd whose parent died would hold the port.
      void endChildren();
    },
  });

  return {
    pids: () => ({ edge: supervised.pid, workerd: workerd?.pid ?? null }),
    start() {
      supervised.start();
      return firstReady.promise;
    },
    async stop() {
      await supervised.stop();
      await endChildren();
    },
    killEdge: () => supervised.kill(),
    killWorkerd() {
      if (workerd !== null) process.kill(workerd.pid, "SIGKILL");
    },
  };
}
