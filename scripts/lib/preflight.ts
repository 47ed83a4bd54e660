/**
 * What must hold before the stack starts: a folder that can be written, a port that is free, a Python that is new
 * enough, topics that exist.
 */
import { accessSync, constants, mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { numericVar, numericVarNames } from "../../src/contract/numeric-vars.ts";
import { readPublishSettings } from "../../src/log/publish-settings.ts";
import { runCommand } from "./command.ts";
import { StackError } from "./stack-error.ts";

const OLDEST_PYTHON = [3, 8] as const;

/** Makes `dir` unless it is there; throws `StackError` when it can't be written. */
export function ensureFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    accessSync(dir, constants.W_OK);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StackError(
      `the state folder ${dir} can't be written (${reason}); name another with EDGEPLANE_STATE_DIR.`,
    );
  }
}

/** A port of 127.0.0.1 that nobody listens on: `port`, or any when that is 0. Throws `StackError` when it is taken. */
export async function freePort(port: number): Promise<number> {
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new StackError("PORT must be a number from 0 to 65535.");
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer();
  server.once("error", (error: NodeJS.ErrnoException) => {
    const reason = error.code === "EADDRINUSE" ? "is taken" : `can't be used (${error.message})`;
    reject(new StackError(`port ${port} of 127.0.0.1 ${reason}; choose another: PORT=${port + 1} npm start`));
  });
  server.listen(port, "127.0.0.1", () => {
    const address = server.address();
    server.close(() => resolve(typeof address === "object" && address !== null ? address.port : port));
  });
  return promise;
}

/**
 * The command of a Python that runs models: EDGEPLANE_PYTHON, or `python3`, or `python`. Throws `StackError` without
 * one.
 */
export async function findPython(): Promise<string> {
  const named = process.env["EDGEPLANE_PYTHON"];
  let seen = "";
  for (const command of named === undefined ? ["python3", "python"] : [named]) {
    const { code, output } = await runCommand([command, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], {
      timeoutMs: 10_000,
    });
    if (code !== 0) continue;
    const [major = 0, minor = 0] = output.trim().split(".").map(Number);
    if (major > OLDEST_PYTHON[0] || (major === OLDEST_PYTHON[0] && minor >= OLDEST_PYTHON[1])) return command;
    seen = ` (${command} is ${output.trim()})`;
  }
  throw new StackError(`models need Python 3.8 or newer${seen}; install python3, or name one with EDGEPLANE_PYTHON.`);
}

/**
 * Throws `StackError` when a variable of the Worker's is wrong; deployed, its log says so, and `GET /admin/v1/log` of
 * what is published.
 */
export function checkWorkerVars(vars: Readonly<Record<string, unknown>>): void {
  const text = (name: string) => String(vars[name] ?? "");
  for (const name of numericVarNames) {
    try {
      numericVar({ [name]: text(name) }, name);
    } catch (error) {
      throw new StackError(`${error instanceof Error ? error.message : String(error)} (wrangler.toml, [vars]).`);
    }
  }
  const { problem } = readPublishSettings({
    PUBLISH_TOPICS: text("PUBLISH_TOPICS"),
    PUBLISH_OUTPUT: text("PUBLISH_OUTPUT"),
    PUBLISH_USAGE: text("PUBLISH_USAGE"),
  });
  if (problem !== null) throw new StackError(`${problem} (wrangler.toml, [vars]).`);
}
