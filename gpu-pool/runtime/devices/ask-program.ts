/** Asks a program that speaks with a driver, which may hang and then dies of no signal: its end is not waited for. */
import { execFile } from "node:child_process";
import type { ExecFileException } from "node:child_process";

export type Answer = { error: ExecFileException | null; stdout: string; stderr: string };

/** More that hang would tell no more, and each keeps files of this process open until it ends. */
const MOST_HANGING = 2;
/** How many of each program were given up and have not ended. */
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
    const hangs = (more: number): unknown => hanging.set(command, (hanging.get(command) ?? 0) + more);
    if ((hanging.get(command) ?? 0) >= MOST_HANGING) return resolve(null);
    let isGivenUp = false;
    try {
      const child = execFile(command, args, { env }, (error, stdout, stderr) => {
        clearTimeout(timer);
        if (isGivenUp) hangs(-1);
        resolve({ error, stdout, stderr });
      });
      const timer = setTimeout(() => {
        isGivenUp = true;
        hangs(1);
        child.kill("SIGKILL");
        resolve(null);
      }, limitMs);
    } catch (error) {
      reject(error instanceof Error ? error : new Error(String(error)));
    }
  });
}
