/**
 * Builds a virtual environment: with uv where there is one, else with venv and pip.
 *
 * To put a pip into an environment takes seconds, so the interpreter's pip fills it where there is one, and `build.run`
 * needs none. Debian's Python has venv but not ensurepip unless `python3-venv` is installed; where it has no pip and no
 * virtualenv either, the error says what to install.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { runCommand, type CommandResult } from "./command.ts";
import { type Interpreter, versionOf } from "./interpreters.ts";
import { isDiskFull } from "./disk-full.ts";
import { DiskFull, EnvironmentProblem } from "./problem.ts";
import type { Requirements } from "./requirements.ts";

export type BuildOptions = {
  dir: string;
  interpreter: Interpreter;
  requirements: Requirements;
  uv: string | null;
  log: (line: string) => void;
  timeoutMs: number;
};

const createTimeoutMs = 120_000;
const shownLine =
  /^(Collecting|Downloading|Installing|Building|Resolved|Prepared|Installed|Successfully|Using cached|ERROR|error|warning)/i;

const unreachable =
  /NewConnectionError|Connection refused|name resolution|Network is unreachable|ConnectTimeout|dns error|client error \(Connect\)/;

class NoRegistry extends EnvironmentProblem {
  constructor(said: string) {
    super(`No package registry could be reached:\n${said}`);
  }
}

function lastLines(result: CommandResult): string {
  const lines = result.output.split(/\r\n|\n|\r/).filter((line) => line.trim() !== "" && !line.startsWith("[notice]"));
  return lines.slice(-12).join("\n");
}

/** The interpreter's path inside an environment. */
export function pythonOf(dir: string): string {
  return join(dir, "bin", "python");
}

async function createWithVenv(options: BuildOptions): Promise<string[]> {
  const { dir, interpreter, requirements } = options;
  const python = interpreter.path;
  // What `build.run` calls may be the environment's own pip.
  if (requirements.buildCommands.length === 0) {
    const bare = await createBare(options);
    if (bare !== null) return bare;
  }
  const whole = await runCommand(python, ["-m", "venv", dir], { timeoutMs: createTimeoutMs });
  if (whole.code === 0) return [pythonOf(dir), "-m", "pip"];
  await rm(dir, { recursive: true, force: true });
  const bare = await createBare(options);
  if (bare !== null) return bare;
  const other = await runCommand(python, ["-m", "virtualenv", dir], { timeoutMs: createTimeoutMs });
  if (other.code === 0) return [pythonOf(dir), "-m", "pip"];
  if (isDiskFull(whole.output)) throw new DiskFull(dir, lastLines(whole));
  throw new EnvironmentProblem(
    `Python ${versionOf(interpreter)} (${python}) can't make virtual environments: its venv has no ensurepip, and it has neither pip 23 ` +
      `nor virtualenv. Install uv, or (Debian, Ubuntu) python3.${interpreter.minor}-venv.\n${lastLines(whole)}`,
  );
}

/** An environment without a pip of its own, which the interpreter's fills; null where that is too old, or missing. */
async function createBare({ dir, interpreter }: BuildOptions): Promise<string[] | null> {
  const python = interpreter.path;
  const pip = await runCommand(python, ["-m", "pip", "--version"], { timeoutMs: createTimeoutMs });
  const major = Number(/^pip (\d+)\./.exec(pip.stdout)?.[1] ?? 0);
  if (pip.code !== 0 || major < 23) return null;
  const made = await runCommand(python, ["-m", "venv", "--without-pip", dir], { timeoutMs: createTimeoutMs });
  if (made.code === 0) return [python, "-m", "pip", "--python", pythonOf(dir)];
  if (isDiskFull(made.output)) throw new DiskFull(dir, lastLines(made));
  await rm(dir, { recursive: true, force: true });
  return null;
}

async function create(options: BuildOptions): Promise<string[]> {
  if (options.uv === null) return createWithVenv(options);
  const result = await runCommand(options.uv, ["venv", "--python", options.interpreter.path, options.dir], {
    timeoutMs: createTimeoutMs,
  });
  if (isDiskFull(result.output) && result.code !== 0) throw new DiskFull(options.dir, lastLines(result));
  if (result.code !== 0) throw new EnvironmentProblem(`uv venv failed:\n${lastLines(result)}`);
  return [options.uv, "pip", "--python", pythonOf(options.dir)];
}

/**
 * pip compiles what it installs; uv leaves that to the first start of every process, on every host, unless it is told.
 */
function installCommand(tool: readonly string[], file: string): { command: string; args: string[] } {
  const [command = "", ...rest] = tool;
  const at = rest.indexOf("--python");
  if (rest[0] === "pip")
    return { command, args: ["pip", "install", "--compile-bytecode", ...rest.slice(at), "-r", file] };
  return {
    command,
    args: [
      ...rest,
      "install",
      "--disable-pip-version-check",
      "--no-input",
      "--progress-bar",
      "off",
      "--retries",
      "2",
      "-r",
      file,
    ],
  };
}

async function install(tool: readonly string[], options: BuildOptions): Promise<void> {
  const { requirements, log } = options;
  const folder = await mkdtemp(join(tmpdir(), "edgeplane-requirements-"));
  try {
    const file = join(folder, "requirements.txt");
    await writeFile(file, requirements.lines.join("\n") + "\n");
    const { command, args } = installCommand(tool, file);
    const onLine = (line: string): void => {
      if (shownLine.test(line.trim())) log(line.trim().replace(/ \(from .*\)$/, ""));
    };
    const result = await runCommand(command, args, { cwd: requirements.baseDir, timeoutMs: options.timeoutMs, onLine });
    if (result.timedOut)
      throw new EnvironmentProblem(
        `The installation took longer than ${options.timeoutMs / 1000} s:\n${lastLines(result)}`,
      );
    if (result.code !== 0) {
      if (isDiskFull(result.output)) throw new DiskFull(options.dir, lastLines(result));
      if (unreachable.test(result.output)) throw new NoRegistry(lastLines(result));
      throw new EnvironmentProblem(`The requirements can't be installed:\n${lastLines(result)}`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runBuildCommands(options: BuildOptions): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "edgeplane-build-"));
  try {
    for (const command of options.requirements.buildCommands) {
      options.log(`build.run: ${command}`);
      const env = {
        VIRTUAL_ENV: options.dir,
        PATH: `${join(options.dir, "bin")}${delimiter}${process.env["PATH"] ?? ""}`,
      };
      const result = await runCommand("sh", ["-c", command], {
        cwd: folder,
        env,
        timeoutMs: options.timeoutMs,
        onLine: options.log,
      });
      if (result.code !== 0 && isDiskFull(result.output)) throw new DiskFull(options.dir, lastLines(result));
      if (result.timedOut)
        throw new EnvironmentProblem(`build.run took longer than ${options.timeoutMs / 1000} s: ${command}`);
      if (result.code !== 0) throw new EnvironmentProblem(`build.run failed: ${command}\n${lastLines(result)}`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Makes an environment in `dir` that has nothing but its interpreter. Throws EnvironmentProblem. */
export async function createBareEnvironment(
  dir: string,
  { path }: Pick<Interpreter, "path">,
  uv: string | null,
): Promise<void> {
  const [command, args] =
    uv === null ? [path, ["-m", "venv", "--without-pip", dir]] : [uv, ["venv", "--python", path, dir]];
  const made = await runCommand(command, args, { timeoutMs: createTimeoutMs });
  if (made.code === 0) return;
  throw isDiskFull(made.output)
    ? new DiskFull(dir, lastLines(made))
    : new EnvironmentProblem(`no virtual environment can be made:\n${lastLines(made)}`);
}

/**
 * Build the environment in `dir`, which must not exist. Where uv reaches no registry pip may: it has a configuration of
 * its own (pip.conf), which uv does not read. Throws EnvironmentProblem.
 */
export async function buildEnvironment(options: BuildOptions): Promise<void> {
  try {
    await build(options);
  } catch (error) {
    if (options.uv === null || !(error instanceof NoRegistry)) throw error;
    options.log("uv reached no package registry; trying pip");
    await rm(options.dir, { recursive: true, force: true });
    await build({ ...options, uv: null });
  }
}

async function build(options: BuildOptions): Promise<void> {
  const tool = await create(options);
  if (options.requirements.lines.length > 0) await install(tool, options);
  await runBuildCommands(options);
}
