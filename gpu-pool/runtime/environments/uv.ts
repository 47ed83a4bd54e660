/**
 * Pythons that the machine lacks, brought by uv, which keeps them in a folder of its own (`uv python dir`) and locks it
 * against others.
 *
 * A version is asked for once at a time; one that could not be brought is not asked for again for a while, since a
 * model's every start would.
 */
import { runCommand } from "./command.ts";
import { forgetInterpreters, probeInterpreter } from "./interpreters.ts";
import type { Interpreter } from "./interpreters.ts";

/** A Python that uv brought, or in one line why it did not. */
export type Brought = { interpreter: Interpreter } | { why: string };

const installTimeoutMs = 5 * 60_000;
const findTimeoutMs = 10_000;
const tryAgainAfterMs = 10 * 60_000;

/** Nothing in `~/.local/bin`; neither the machine's Pythons nor an environment that happens to be active. */
const env = { UV_PYTHON_INSTALL_BIN: "0", UV_PYTHON_PREFERENCE: "only-managed" };

const asked = new Map<string, Promise<Brought>>();

/** The uv of the machine, or null. */
export async function findUv(): Promise<string | null> {
  const command = process.env["EDGEPLANE_UV"] ?? "uv";
  if (command === "") return null;
  const result = await runCommand(command, ["--version"], { timeoutMs: findTimeoutMs });
  return result.code === 0 ? command : null;
}

/** Brings `version` (`3.12` or `3.12.4`). Null where there is no uv. */
export async function bringPython(version: string, log: (line: string) => void): Promise<Brought | null> {
  const uv = await findUv();
  if (uv === null) return null;
  let bringing = asked.get(version);
  if (bringing === undefined) {
    log(`Python ${version} is not here; asking uv for it`);
    bringing = bring(uv, version, log);
    asked.set(version, bringing);
    void bringing.then((brought) => {
      const forget = (): boolean => asked.delete(version);
      if ("interpreter" in brought) forget();
      else setTimeout(forget, tryAgainAfterMs).unref();
    });
  }
  return bringing;
}

async function bring(uv: string, version: string, log: (line: string) => void): Promise<Brought> {
  const installed = await runCommand(uv, ["python", "install", version], {
    env,
    timeoutMs: installTimeoutMs,
    onLine: log,
  });
  if (installed.timedOut) return { why: `it took longer than ${installTimeoutMs / 1000} s` };
  if (installed.code !== 0) return { why: reasonIn(installed.output) };
  forgetInterpreters();
  const found = await runCommand(uv, ["python", "find", "--system", version], { env, timeoutMs: findTimeoutMs });
  const interpreter = found.code === 0 ? await probeInterpreter(found.stdout.trim()) : null;
  return interpreter === null ? { why: "what it installed does not run" } : { interpreter };
}

/** The error that uv tells, and the deepest of its causes. */
function reasonIn(output: string): string {
  const lines = output.split("\n").map((line) => line.trim());
  const error =
    lines.find((line) => line.startsWith("error:")) ?? lines.findLast((line) => line !== "") ?? "no reason given";
  const cause = lines.findLast((line) => /^(cause|caused by):/i.test(line)) ?? "";
  return [error, cause]
    .map((line) => line.replace(/^(error|cause|caused by):\s*/i, ""))
    .filter((line) => line !== "")
    .join(": ");
}
