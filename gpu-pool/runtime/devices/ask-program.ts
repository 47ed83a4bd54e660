/** Asks a program that speaks with a driver, which may hang and then dies of no signal: its end is not waited for. */
import { execFile } from "node:child_process";
import type { ExecFileException } from "node:child_process";

export type Answer = { error: ExecFileException | null; stdout: string; stderr: string };

/** Each program that hangs keeps files of this process open until it ends, and more of them would tell no more. */
const MOST_HANGING = 2;
/** For each program, how many of its processes were given up and have not ended. */
const hanging = new Map<string, number>();

/**
 * Null: it gave none within `limitMs`, or those that were asked before still hang. Rejects where this host has too
 * little memory to start a program at all.
 */
export function askProgram(
  command: string,
  args: readonly string[],
  limitMs: number,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Answer | null> {
  return new Promise((resolve, reject) => {
    if (hangingOf(command) >= MOST_HANGING) return resolve(null);
    let isGivenUp = false;
    try {
      const child = execFile(command, args, { env }, (error, stdout, stderr) => {
        clearTimeout(timer);
        if (isGivenUp) hanging.set(command, hangingOf(command) - 1);
        resolve({ error, stdout, stderr });
      });
      const timer = setTimeout(() => {
        isGivenUp = true;
        hanging.set(command, hangingOf(command) + 1);
        child.kill("SIGKILL");
        resolve(null);
      }, limitMs);
    } catch (error) {
      reject(error instanceof Error ? error : new Error(String(error)));
    }
  });
}

function hangingOf(command: string): number {
  return hanging.get(command) ?? 0;
}
