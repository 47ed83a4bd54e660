/**
 * Runs a command and gives its output line by line. What the command started ends with it, and all of them with this
 * process, however that ends: the kernel closes this end of a pipe, and who reads the other one ends their group.
 */
import { spawn } from "node:child_process";
import { Socket } from "node:net";
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

/**
 * Descriptor 3 is a pipe to this process, which the command itself doesn't get. Nothing comes over it but its end; a
 * command that isn't there is told back.
 */
const GUARDED = `
command -v -- "$0" >/dev/null 2>&1 || { echo missing >&3; exit 127; }
(read -r _ <&3; kill -KILL 0) </dev/null >/dev/null 2>&1 &
exec 3<&- "$0" "$@"`;

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
    let child: ChildProcess;
    try {
      child = spawn("/bin/sh", ["-c", GUARDED, command, ...args], {
        cwd: options.cwd,
        env: { ...process.env, ...hiddenSecrets, ...options.env },
        stdio: ["ignore", "pipe", "pipe", "pipe"],
        detached: true,
      });
    } catch (error) {
      // A host that is out of memory starts nothing.
      done({ code: 127, stdout: "", output: String(error), missing: false, timedOut: false });
      return;
    }
    running.add(child);
    let isMissing = false;
    // A host without file handles left gives it no pipes; its "error" follows.
    const stdio: ChildProcess["stdio"] | undefined = child.stdio;
    const guard = stdio?.[3];
    if (guard instanceof Socket) guard.on("data", () => (isMissing = true)).on("error", () => {});
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
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout = (stdout + text).slice(-keptBytes);
      keep(text);
    });
    child.stderr?.setEncoding("utf8").on("data", keep);
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
        child.stdout?.destroy();
        child.stderr?.destroy();
        finish(code ?? 1, isMissing);
      }, drainMs);
      child.once("close", () => {
        clearTimeout(late);
        finish(code ?? 1, isMissing);
      });
    });
  });
}
