/**
 * A model's system packages. What the host lacks is installed with apt, where the pool may and can; else the model is
 * refused, and the reason says how to mend it. What is installed is asked of dpkg each time: a host that was made anew
 * gets its packages again.
 */
import { join } from "node:path";
import { withLock } from "../host-lock.ts";
import { type CommandResult, runCommand } from "./command.ts";
import { EnvironmentProblem } from "./problem.ts";

export type SystemPackageOptions = {
  /** The pool's permission. Without it nothing is installed. */
  allowed: boolean;
  isRoot: boolean;
  /** A folder for the lock that the pools of the host share. */
  lockDir: string;
  timeoutMs: number;
  log: (line: string) => void;
};

const ASK_TIMEOUT_MS = 30_000;
/** How long apt waits for another apt, such as the host's own upgrades. */
const APT_LOCK_SECONDS = 600;
/** Source: Debian Policy 5.6.7 and 5.6.12; a version may end in apt's `*`. */
const NAME = /^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~*-]+)?$/;
const SHOWN = /^(Get:\d+ .*\bPackages|Need to get|Preparing to unpack|Unpacking|Setting up|E:|W:)/;

/** By the names as cog.yaml writes them: they were there, or were installed, since this process began. */
const satisfied = new Set<string>();

/** Sees to it that they are there. Answers a warning where that can't be known. Throws EnvironmentProblem. */
export async function ensureSystemPackages(
  names: readonly string[],
  options: SystemPackageOptions,
): Promise<string | null> {
  if (names.length === 0 || satisfied.has(JSON.stringify(names))) return null;
  const wrong = names.find((name) => !NAME.test(name));
  if (wrong !== undefined)
    throw new EnvironmentProblem(
      `build.system_packages of cog.yaml has ${JSON.stringify(wrong)}, which is no name of a Debian package: write one such as "ffmpeg" or "ffmpeg=7:5.1.6"`,
    );
  let missing = await missingOf(names);
  if (missing === null)
    return `system_packages can't be checked without dpkg and apt; the model wants: ${names.join(", ")}`;
  if (missing.length > 0) {
    refuseUnlessAllowed(missing, options);
    await withLock(
      join(options.lockDir, "apt.lock"),
      () => options.log("another pool installs system packages; waiting for it"),
      async () => {
        missing = await missingOf(names);
        if (missing === null || missing.length > 0) await install(names, missing ?? names, options);
      },
    );
  }
  satisfied.add(JSON.stringify(names));
  return null;
}

function refuseUnlessAllowed(missing: readonly string[], { allowed, isRoot }: SystemPackageOptions): void {
  if (allowed && isRoot) return;
  const how = allowed ? "run the pool as root" : "run the pool as root with --allow-system-packages";
  throw new EnvironmentProblem(
    `This host lacks system packages that cog.yaml wants: ${missing.join(", ")}. Install them (apt-get install ${missing.join(" ")}), or ${how}.`,
  );
}

/** What is not installed; null where nobody can say. */
async function missingOf(names: readonly string[]): Promise<string[] | null> {
  const asked = await runCommand(
    "dpkg-query",
    ["-W", "-f", "${Package}=${Version} ${db:Status-Status}\\n", ...bare(names)],
    {
      timeoutMs: ASK_TIMEOUT_MS,
      env: { LC_ALL: "C" },
    },
  );
  if (asked.missing) return null;
  const installed = new Set<string>();
  for (const [, name = "", version = ""] of asked.stdout.matchAll(/^([^=\n]+)=(\S*) installed$/gm))
    for (const known of [name, `${name}=${version}`]) installed.add(known);
  const left = names.filter((name) => !installed.has(name.replace(/:[a-z0-9-]+(?=$|=)/, "")));
  if (left.length === 0) return [];
  // One that others provide, or whose version has a `*`, only apt knows; without lists of packages it knows nothing.
  const tried = await apt(["--simulate", "install", ...left], ASK_TIMEOUT_MS);
  if (tried.missing) return left;
  return tried.code === 0 && !/^(Inst|Remv) /m.test(tried.stdout) ? [] : left;
}

const bare = (names: readonly string[]): string[] => names.map((name) => name.replace(/[:=].*$/, ""));

async function install(
  names: readonly string[],
  missing: readonly string[],
  { log, timeoutMs }: SystemPackageOptions,
): Promise<void> {
  log(`installing system packages: ${missing.join(", ")}`);
  const onLine = (line: string): void => {
    if (SHOWN.test(line)) log(line);
  };
  // The host's lists may be missing, or name what the archive no longer has.
  const updated = await apt(["update"], timeoutMs, onLine);
  const { code, output, timedOut } = await apt(["--yes", "install", ...names], timeoutMs, onLine);
  if (timedOut)
    throw new EnvironmentProblem(`apt-get install took longer than ${timeoutMs / 1000} s:\n${lastLines(output)}`);
  if (code !== 0)
    throw new EnvironmentProblem(
      `The system packages can't be installed:\n${lastLines(updated.code === 0 ? output : `${updated.output}\n${output}`)}`,
    );
  log("the system packages are installed");
}

function apt(args: readonly string[], timeoutMs: number, onLine?: (line: string) => void): Promise<CommandResult> {
  const options = ["-q", "-o", `DPkg::Lock::Timeout=${APT_LOCK_SECONDS}`];
  return runCommand("apt-get", [...options, ...args], {
    env: { LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
    timeoutMs,
    ...(onLine === undefined ? {} : { onLine }),
  });
}

function lastLines(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return lines.slice(-12).join("\n");
}
