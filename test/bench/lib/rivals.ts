/** The peers of the model bench: Python servers that batch, each in a process group of its own, with the same model. */
import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { descendantsOf } from "./processes.ts";

const folder = fileURLToPath(new URL("../rivals", import.meta.url));
const START_LIMIT_MS = 120_000;
const STOP_LIMIT_MS = 10_000;
const POLL_MS = 200;

export type RivalName = "litserve" | "mosec" | "ray";
export type Rival = { url: string; pid: number; stop(): Promise<void> };

const pathOf: Record<RivalName, string> = { litserve: "/predict", mosec: "/inference", ray: "/inference" };

/**
 * Puts the servers beside what the model needs, into a virtual environment that is kept between runs. Returns its
 * Python; what it holds is in the answer of `rivalVersions`.
 */
export function installRivals(kept: string, modelRequirements: string): string {
  const environment = join(kept, "rivals");
  const python = join(environment, "bin/python");
  const wanted = `${readFileSync(join(folder, "requirements.txt"), "utf8")}${readFileSync(modelRequirements, "utf8")}`;
  const list = join(environment, "wanted.txt");
  const isInstalled = (() => {
    try {
      return readFileSync(list, "utf8") === wanted;
    } catch {
      return false;
    }
  })();
  if (isInstalled) return python;
  execFileSync("python3", ["-m", "venv", "--clear", environment]);
  const all = join(environment, "requirements.txt");
  writeFileSync(all, wanted);
  execFileSync(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", all], {
    stdio: "inherit",
  });
  writeFileSync(list, wanted);
  return python;
}

/** Name and version of what counts for the comparison, as a Python has it installed. */
export function rivalVersions(python: string): string {
  const script =
    "from importlib.metadata import version\n" +
    "print(', '.join(f'{n} {version(n)}' for n in ('litserve', 'mosec', 'ray', 'onnxruntime', 'numpy')))";
  return execFileSync(python, ["-c", script], { encoding: "utf8" }).trim();
}

/** Resolves when the server answers a request for `body`. Rejects after two minutes, or when it ends before. */
export async function startRival(
  name: RivalName,
  python: string,
  model: string,
  port: number,
  body: string,
): Promise<Rival> {
  const child = spawn(python, [join(folder, `${name}_server.py`), model, String(port)], {
    detached: true,
    stdio: "ignore",
    env: { ...process.env, RAY_AUTH_MODE: "disabled", RAY_USAGE_STATS_ENABLED: "0" },
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${python} could not be started`);
  const url = `http://127.0.0.1:${port}${pathOf[name]}`;
  const ended = new Promise<void>((resolve) => void child.once("exit", () => resolve()));
  const stop = async (): Promise<void> => {
    // Ray's own processes leave the group, so each is ended by its id.
    const started = descendantsOf(pid);
    if (child.exitCode === null) child.kill();
    await Promise.race([ended, setTimeout(STOP_LIMIT_MS, null, { ref: false })]);
    for (const process of [pid, ...started]) kill(process);
  };
  const isUp = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode} before it answered`);
    const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body }).catch(
      () => null,
    );
    return answer?.ok === true && (await answer.text()).includes('"output"');
  };
  const giveUpAt = performance.now() + START_LIMIT_MS;
  try {
    while (!(await isUp())) {
      if (performance.now() > giveUpAt) throw new Error(`${name} did not answer within ${START_LIMIT_MS} ms`);
      await setTimeout(POLL_MS);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, pid, stop };
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
