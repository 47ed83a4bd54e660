/** Asks a program that speaks with a driver, which may hang and then dies of no signal: its end is not waited for. */
import { execFile } from "node:child_process";
import type { ExecFileException } from "node:child_process";

export type Answer = { error: ExecFileException | null; stdout: string; stderr: string };

/** Null: it gave none within `limitMs`. Rejects where this host has too little memory to start a program at all. */
export function askProgram(
  command: string,
  args: readonly string[],
  limitMs: number,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Answer | null> {
  return new Promise((resolve, reject) => {
    try {
      const child = execFile(command, args, { env }, (error, stdout, stderr) => {
        clearTimeout(timer);
        resolve({ error, stdout, stderr });
      });
      const timer = setTimeout(() => {
        child.kill("SIGKILL");
        resolve(null);
      }, limitMs);
    } catch (error) {
      reject(error instanceof Error ? error : new Error(String(error)));
    }
  });
}
