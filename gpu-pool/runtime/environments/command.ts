/**
 * Runs a command without a shell and gives its output line by line. What the command started ends with it, and all of
 * them with this process.
 */
import { spawn } from "node:child_process";
import { hiddenSecrets } from "../hidden-secrets.ts";
import type { ChildProcess } from "node:child_process";
import { signalGroup } from "../process-group.ts";

export type CommandOptions = {
  cwd?: string;
  env?: Record<string, string | undefined>;
  timeoutMs?: number;
  onLine?: (line: string) => void;
};

export type CommandResult = { code: number; stdout: string; output: string; missing: boolean; timedOut: boolean };

const keptBytes = 256 * 1024;
const killAfterMs = 2000;
/** How long after its end what it printed may take to come: what left its group may hold its output open for ever. */
const drainMs = 500;

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) signalGroup(child, "SIGKILL");
});

function lineSplitter(onLine: (line: string) => void): { push: (text: string) => void; end: () => void } {
  let rest = "";
  return {
    push: (text) => {
      const lines = (rest + text).split(/\r\n|\n|\r/);
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.trim() !== "") onLine(line);
    },
    end: () => {
      if (rest.trim() !== "") onLine(rest);
    },
  };
}

/**
 * Run to the end, without the pool's secrets. A command that does not exist gives `missing`, one past `timeoutMs` is
 * killed; it never rejects.
 */
export function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise((done) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...hiddenSecrets, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    running.add(child);
    let stdout = "";
    let output = "";
    let timedOut = false;
    const lines = lineSplitter(options.onLine ?? (() => {}));
    const keep = (text: string): void => {
      output = (output + text).slice(-keptBytes);
      lines.push(text);
    };
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            signalGroup(child, "SIGTERM");
            setTimeout(() => signalGroup(child, "SIGKILL"), killAfterMs).unref();
          }, options.timeoutMs);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout = (stdout + text).slice(-keptBytes);
      keep(text);
    });
    child.stderr.setEncoding("utf8").on("data", keep);
    const finish = (code: number, missing: boolean): void => {
      if (!running.delete(child)) return;
      clearTimeout(timer);
      lines.end();
      done({ code, stdout, output, missing, timedOut });
    };
    child.once("error", () => finish(127, true));
    child.once("exit", (code) => {
      signalGroup(child, "SIGKILL");
      const late = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        finish(code ?? 1, false);
      }, drainMs);
      child.once("close", () => {
        clearTimeout(late);
        finish(code ?? 1, false);
      });
    });
  });
}
