/** Runs a command to its end and keeps what it said. */
import { spawn } from "node:child_process";

export type CommandResult = { code: number; output: string; seconds: number };

export type CommandOptions = {
  env?: Record<string, string>;
  timeoutMs?: number;
  /** True hands the output on as it comes, besides keeping it; a function hears it instead. */
  echo?: boolean | ((text: string) => void);
};

/** The processes that run, each the leader of its group. */
const running = new Set<number>();

function endAll(signal: NodeJS.Signals): void {
  for (const pid of running) killGroup(pid);
  process.exit(signal === "SIGINT" ? 130 : 143);
}

/**
 * Runs `command` in the project's folder; stdout and stderr come back as one text. Never rejects: a command that can't
 * be started ends with code 127, one that runs past `timeoutMs` (10 minutes) is killed with its children and ends with
 * 124.
 */
export function runCommand(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [program = "", ...args] = command;
  const startedAt = performance.now();
  const { promise, resolve } = Promise.withResolvers<CommandResult>();
  const chunks: string[] = [];
  const child = spawn(program, args, {
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const { pid = 0 } = child;
  if (running.size === 0) process.on("SIGINT", endAll).on("SIGTERM", endAll);
  running.add(pid);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    killGroup(pid);
  }, options.timeoutMs ?? 600_000);
  const { echo = false } = options;
  const hear = echo === true ? (text: string) => void process.stdout.write(text) : echo;
  const take = (text: string) => {
    chunks.push(text);
    if (hear !== false) hear(text);
  };
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", take);
  const finish = (code: number) => {
    clearTimeout(timer);
    running.delete(pid);
    if (running.size === 0) process.off("SIGINT", endAll).off("SIGTERM", endAll);
    resolve({ code: timedOut ? 124 : code, output: chunks.join(""), seconds: (performance.now() - startedAt) / 1000 });
  };
  child.on("error", (error) => {
    chunks.push(`${program}: ${error.message}\n`);
    finish(127);
  });
  child.on("close", (code) => finish(code ?? 1));
  return promise;
}

/** Group 0 would be this process's own. */
function killGroup(pid: number): void {
  if (pid === 0) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It ended in the meantime.
  }
}
