/** Finds out what this host can isolate with: each way is tried once, for real. */
import { existsSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import { runCommand } from "../environments/command.ts";
import { namespaces } from "./namespaces.ts";
import { noIsolation } from "./none.ts";
import { otherUser, readUidMap, setprivArgs, uidsBy } from "./other-user.ts";
import type { Isolation, IsolationKind, IsolationSetting } from "./types.ts";

export type ChooseOptions = {
  setting: IsolationSetting;
  /** The pool's own folders and files. */
  hidden: readonly string[];
  childPath: string;
};

const TRY_MS = 10_000;
const TRIED = ["--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"];

/** The best that the setting allows and the host can. Throws where the setting demands what it can't. */
export async function chooseIsolation(options: ChooseOptions): Promise<Isolation> {
  const { setting } = options;
  if (setting === "off") return noIsolation("it is turned off (--isolation off)");
  const problems: string[] = [];
  for (const kind of setting === "namespaces" || setting === "user" ? [setting] : (["namespaces", "user"] as const)) {
    const program = programOf(kind === "namespaces" ? "bwrap" : "setpriv");
    const problem = await problemOf(kind, program);
    if (problem === null && program !== null) return open(kind, program, options);
    if (problem !== null) problems.push(problem);
  }
  const why = problems.join("; ");
  if (setting === "auto") return noIsolation(why);
  throw new Error(`--isolation ${setting}: this host can't isolate its models: ${why}`);
}

async function problemOf(kind: Exclude<IsolationKind, "none">, program: string | null): Promise<string | null> {
  if (process.platform !== "linux") return `${kind} of their own need Linux`;
  if (kind === "user" && process.getuid?.() !== 0) return "users of their own need a pool that runs as root";
  if (program === null)
    return kind === "namespaces" ? "bubblewrap is not installed" : "setpriv (util-linux) is not installed";
  const args = kind === "namespaces" ? TRIED : setprivArgs(uidsBy(readUidMap())("any/model"), []);
  const { code, output } = await runCommand(program, [...args, "true"], { timeoutMs: TRY_MS });
  return code === 0 ? null : `${program} fails here: ${output.trim().split("\n").at(-1) ?? ""}`;
}

/**
 * Where a program of the pool's own PATH lies. It is called by that path: a model has a PATH of its own, and what it
 * finds there would run before anything isolates it.
 */
function programOf(name: string): string | null {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.map((folder) => resolve(folder, name)).find((path) => existsSync(path)) ?? null;
}

function open(kind: Exclude<IsolationKind, "none">, program: string, { hidden, childPath }: ChooseOptions): Isolation {
  return kind === "namespaces" ? namespaces(program, hidden) : otherUser({ program, childPath, uidMap: readUidMap() });
}
