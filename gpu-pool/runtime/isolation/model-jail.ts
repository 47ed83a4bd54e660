/** The jail of a model's next process, and what is done where it can't have one. */
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { interpreterPaths } from "./interpreter-paths.ts";
import { IsolationProblem } from "./types.ts";
import type { Isolation, Jail, JailRequest } from "./types.ts";

export type ModelJails = {
  isolation: Isolation;
  /** A model that can't be isolated isn't run. */
  isRequired: boolean;
  /** Folders on this host that every model may read. */
  shared: readonly string[];
  /** Below it each model has its home. */
  homesDir: string;
};

export type ModelToJail = Omit<JailRequest, "homeDir" | "readable" | "mayRead"> & {
  python: string;
  childPath: string;
  /** What it says of itself in `cog.yaml`, its environment variables among it. */
  env: Readonly<Record<string, string>>;
};

/** Environment variables that name folders of libraries, and where Python keeps what it compiled. */
const PATH_VARIABLES = ["LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];

/**
 * Null where nothing isolates the model: `warn` is told why, unless that is so of the whole host. Throws
 * `IsolationProblem` where that may not be.
 */
export async function jailOf(
  { isolation, isRequired, shared, homesDir }: ModelJails,
  model: ModelToJail,
  warn: (warning: string) => void,
): Promise<Jail | null> {
  if (isolation.kind === "none") return null;
  const { python, childPath, env, ...rest } = model;
  const homeDir = join(homesDir, model.model.replaceAll("/", "_"));
  const variables = PATH_VARIABLES.flatMap((name) => (env[name] ?? process.env[name] ?? "").split(delimiter));
  const request: JailRequest = {
    ...rest,
    homeDir,
    readable: [childPath, ...(await interpreterPaths(python))],
    mayRead: [...variables.filter((path) => path.startsWith("/")), join(homedir(), ".local", "lib"), ...shared],
  };
  try {
    const jail = await isolation.jail(request, warn);
    return { ...jail, env: { PYTHONUSERBASE: join(homedir(), ".local"), ...jail.env } };
  } catch (error) {
    if (isRequired || !(error instanceof IsolationProblem)) throw error;
    warn(`it is not isolated: ${error.message}`);
    return null;
  }
}
