/** Finds out what this host can isolate with: each way is tried once, for real. */
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
const TRIED = [
  "--unshare-user",
  "--unshare-pid",
  "--unshare-net",
  "--ro-bind",
  "/",
  "/",
  "--proc",
  "/proc",
  "--dev",
  "/dev",
];

/** The best that the setting allows and the host can. Throws where the setting demands what it can't. */
export async function chooseIsolation(options: ChooseOptions): Promise<Isolation> {
  const { setting } = options;
  if (setting === "off") return noIsolation("it is turned off (--isolation off)");
  const problems: string[] = [];
  for (const kind of setting === "namespaces" || setting === "user" ? [setting] : (["namespaces", "user"] as const)) {
    const problem = await problemOf(kind);
    if (problem === null) return open(kind, options);
    problems.push(problem);
  }
  const why = problems.join("; ");
  if (setting === "auto") return noIsolation(why);
  throw new Error(`--isolation ${setting}: this host can't isolate its models: ${why}`);
}

async function problemOf(kind: Exclude<IsolationKind, "none">): Promise<string | null> {
  if (process.platform !== "linux") return `${kind} of their own need Linux`;
  if (kind === "user" && process.getuid?.() !== 0) return "users of their own need a pool that runs as root";
  const [command, args] =
    kind === "namespaces"
      ? ["bwrap", [...TRIED, "true"]]
      : ["setpriv", [...setprivArgs(uidsBy(readUidMap())("any/model"), []), "true"]];
  const { code, missing, output } = await runCommand(command, args, { timeoutMs: TRY_MS });
  if (code === 0) return null;
  if (missing) return kind === "namespaces" ? "bubblewrap is not installed" : "setpriv (util-linux) is not installed";
  return `${command} fails here: ${output.trim().split("\n").at(-1) ?? ""}`;
}

function open(kind: Exclude<IsolationKind, "none">, { hidden, childPath }: ChooseOptions): Isolation {
  return kind === "namespaces" ? namespaces(hidden) : otherUser({ childPath, uidMap: readUidMap() });
}
