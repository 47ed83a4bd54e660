/** Runs a command to its end and keeps what it said. */
import { spawn } from "node:child_process";

export type CommandResult = { code: number; output: string; seconds: number };

export type CommandOptions = {
  env?: Record<string, string>;
  timeoutMs?: number;
  /** True hands the output on as it comes, besides keeping it. */
  echo?: boolean;
};

/**
 * Runs `command` in the project's folder; stdout and stderr come back as one text. Never rejects: a command that can't be
 * started ends with code 127, one that runs past `timeoutMs` (10 minutes) is killed with its children and ends with 124.
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
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    if (child.pid !== undefined) killGroup(child.pid);
  }, options.timeoutMs ?? 600_000);
  const stop = (signal: NodeJS.Signals) => {
    if (child.pid !== undefined) killGroup(child.pid);
    process.exit(signal === "SIGINT" ? 130 : 143);
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  const take = (chunk: Buffer) => {
    chunks.push(chunk.toString());
    if (options.echo === true) process.stdout.write(chunk);
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  const finish = (code: number) => {
    clearTimeout(timer);
    process.off("SIGINT", stop).off("SIGTERM", stop);
    resolve({ code: timedOut ? 124 : code, output: chunks.join(""), seconds: (performance.now() - startedAt) / 1000 });
  };
  child.on("error", (error) => {
    chunks.push(`${program}: ${error.message}\n`);
    finish(127);
  });
  child.on("close", (code) => finish(code ?? 1));
  return promise;
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It ended in the meantime.
  }
}
