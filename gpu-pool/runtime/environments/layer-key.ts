/**
 * What a built environment depends on, as one name: two hosts on which it is the same can use each other's. Too much in
 * it costs a build; too little gives a model packages that don't fit its host.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import type { LayerAbout } from "../../../src/contract/environment-layer.ts";
import type { BuildSchema } from "./cog-yaml.ts";
import { runCommand } from "./command.ts";
import type { Interpreter } from "./interpreters.ts";
import { isWithin } from "../../transport/confined-file.ts";
import { NotComparable, ReachedFiles } from "./reached-files.ts";
import type { Requirements } from "./requirements.ts";
import type * as z from "zod";

/** An environment that other hosts may have: whose models use it, its name, and what it is made for. */
export type LayerWish = {
  owner: string;
  key: string;
  about: Omit<LayerAbout, "buildMs" | "compiledFor">;
  /** What packages that are compiled here may count on. */
  host: NonNullable<LayerAbout["compiledFor"]>;
};

/** The way in which environments are packed; with another no layer of before is found. */
const FORMAT = 1;
const PROBE_MS = 10_000;
/** From this version on a CUDA driver runs what was built for any version of its major (devices/cuda-version.ts). */
const FIRST_COMPATIBLE_MAJOR = 11;
/**
 * `SOABI` names the interpreter's kind and its binary interface; a system without glibc has its C library's name from
 * the platform's.
 */
const PROBE = `
import os, platform, sys, sysconfig
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
except (AttributeError, ValueError, OSError):
    libc = ""
print(platform.python_version(), sysconfig.get_config_var("SOABI") or "", sysconfig.get_platform(), libc, sep="\\n")
`;
/**
 * Settings of pip and uv that say nothing of which packages there are: how they show what they do, how they reach
 * registries and by whose right, where they keep their own. All others may change what is installed, also those of
 * later releases. Sources: pip's documentation, "pip"; uv's, "Environment variables".
 */
const HARMLESS =
  /^(?:PIP|UV)_(?:NO_INPUT|NO_COLOR|QUIET|VERBOSE|DEBUG|LOG|PROGRESS_BAR|NO_PROGRESS|DISABLE_PIP_VERSION_CHECK|ROOT_USER_ACTION|NO_WARN\w*|NO_PYTHON_VERSION_WARNING|(?:DEFAULT_|HTTP_|REQUEST_|HTTP_CONNECT_|LOCK_)?TIMEOUT|(?:HTTP_)?RETRIES|RESUME_RETRIES|PROXY|(?:CLIENT_)?CERT|TRUSTED_HOST|INSECURE_HOST|NATIVE_TLS|SYSTEM_CERTS|KEYRING_PROVIDER|INDEX_\w+_(?:USERNAME|PASSWORD)|PUBLISH_\w+|GITHUB_TOKEN|CONFIG_FILE|(?:NO_)?CACHE(?:_DIR)?|LINK_MODE|CONCURRENT_\w+|COMPILE\w*|NO_COMPILE|NO_CLEAN|SRC|PYTHON_(?:BIN|INSTALL)_\w+|PYTHON_DOWNLOADS|PYTHON_PREFERENCE|TOOL_\w+|INSTALL_DIR|UNMANAGED_INSTALL|STACK_SIZE|BREAK_SYSTEM_PACKAGES|REQUIRE_VIRTUALENV)$/;
const SETTING = /^(?:PIP|UV)_\w+$/;
const PROJECT_FILE = "pyproject.toml";
/** The model's folder is somewhere else on each host, and what is installed so leads there. */
const EDITABLE = /^(?:-e|--editable)\b/;

const known = new Map<string, Promise<PythonBuild | null>>();
type PythonBuild = { python: string; abi: string; platform: string; libc: string };

export type WishOptions = {
  modelDir: string;
  interpreter: Interpreter;
  build: z.output<typeof BuildSchema>;
  /** The newest that the driver runs. */
  cuda: string | null;
  /** The names of this host's. */
  gpus: readonly string[];
};

/** `why`: no other host can use what is built here, in a sentence. */
export type NoWish = { why: string };

/**
 * No wish where `build.run` may write anywhere, packages in the model's folder lead there, this system's C library
 * isn't known, or what the packages are chosen from can't be compared with another host's.
 */
export async function wishOf(
  owner: string,
  requirements: Requirements,
  { modelDir, interpreter, build, cuda, gpus }: WishOptions,
): Promise<LayerWish | NoWish> {
  const { lines, hash } = requirements;
  const why = unlikeOthers(requirements);
  if (why !== null) return { why };
  const python = await pythonOn(interpreter.path);
  if (python === null || python.libc === "")
    return { why: `${interpreter.path} doesn't say which C library its packages are for` };
  try {
    const parts = {
      format: FORMAT,
      requirements: hash,
      ...python,
      cuda: cudaPart(cuda),
      wants: [build.gpu ?? null, build.cuda ?? null],
      systemPackages: (build.system_packages ?? []).toSorted(),
      settings: choosingSettings(process.env),
      files: await choosingFiles(process.env, { lines, cwd: requirements.baseDir, modelDir }),
    };
    const key = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
    const about = { python: python.python, platform: python.platform, libc: python.libc, cuda };
    return { owner, key, about, host: { cpu: await processorFeatures(), gpus: [...new Set(gpus)].toSorted() } };
  } catch (error) {
    if (error instanceof NotComparable) return { why: error.message };
    throw error;
  }
}

function unlikeOthers({ lines, buildCommands }: Requirements): string | null {
  if (buildCommands.length > 0) return "build.run may write anywhere on the host";
  const editable = lines.find((line) => EDITABLE.test(line));
  if (editable !== undefined) return `${editable} is installed as a link into the model's folder`;
  return lines.length === 0 ? "it has no packages" : null;
}

/** As far as it tells what can run: the major version, where one driver runs all of it. */
function cudaPart(cuda: string | null): string | null {
  const [major = ""] = cuda?.split(".") ?? [];
  return Number(major) >= FIRST_COMPATIBLE_MAJOR ? major : cuda;
}

/**
 * Where pip and uv read more such settings. uv looks for its own from the folder that it runs in upwards. Sources:
 * pip's documentation, "Configuration"; uv's, "Configuration files".
 */
function configurationFiles(env: Readonly<Record<string, string | undefined>>, cwd: string): string[] {
  const own = env["XDG_CONFIG_HOME"] || join(homedir(), ".config");
  const shared = (env["XDG_CONFIG_DIRS"] || "/etc/xdg").split(delimiter);
  const named = [env["PIP_CONFIG_FILE"] ?? "", env["UV_CONFIG_FILE"] ?? ""].filter((path) => path !== "");
  const usual = ["/etc/pip.conf", "/etc/uv/uv.toml", join(homedir(), ".pip/pip.conf")];
  const perFolder = [own, ...shared].flatMap((folder) => [join(folder, "pip/pip.conf"), join(folder, "uv/uv.toml")]);
  const ofProject = foldersUp(cwd).flatMap((folder) => [join(folder, "uv.toml"), join(folder, PROJECT_FILE)]);
  return [...new Set([...named, ...usual, ...perFolder, ...ofProject])];
}

function foldersUp(folder: string): string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [folder, ...foldersUp(above)];
}

/** What they say, and what they and other settings lead to, wherever it lies. Throws `NotComparable`. */
async function choosingFiles(
  env: Readonly<Record<string, string | undefined>>,
  { lines, cwd, modelDir }: { lines: readonly string[]; cwd: string; modelDir: string },
): Promise<string[]> {
  const reached = new ReachedFiles();
  const texts: string[] = [];
  for (const path of configurationFiles(env, cwd)) {
    // What the model's author may have written leads, like the requirements, no further than the model's folder.
    const within = isWithin(resolve(modelDir), path) ? modelDir : null;
    const text = await reached.textOf(path, within);
    if (text.trim() === "" || (path.endsWith(PROJECT_FILE) && !text.includes("[tool.uv"))) continue;
    texts.push(withoutUsers(text));
    await reached.addConfiguration(text, path, cwd, within);
  }
  for (const [name, value] of choosingSettings(env)) await reached.addSetting(name, value, cwd);
  await reached.addLines(lines, cwd, modelDir);
  return [...texts, ...reached.contents()];
}

const withoutUsers = (text: string): string => text.replaceAll(/:\/\/[^/@\s]*@/g, "://");

/** Of addresses, without who asks there: that may be another on each host. */
export function choosingSettings(env: Readonly<Record<string, string | undefined>>): [string, string][] {
  return Object.entries(env)
    .flatMap(([name, value = ""]): [string, string][] =>
      SETTING.test(name) && !HARMLESS.test(name) && value !== "" ? [[name, withoutUsers(value)]] : [],
    )
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** As Linux names them; none where it doesn't. */
async function processorFeatures(): Promise<string[]> {
  const text = await readFile("/proc/cpuinfo", "utf8").catch(() => "");
  const listed = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? "";
  return listed
    .split(/\s+/)
    .filter((feature) => feature !== "")
    .toSorted();
}

/** Whether what was compiled for the one host runs on the other. */
export function runsOn(compiledFor: LayerAbout["compiledFor"], host: LayerWish["host"]): boolean {
  if (compiledFor === null) return true;
  const has = new Set(host.cpu);
  const sameGpus = compiledFor.gpus.join("\n") === host.gpus.join("\n");
  return sameGpus && compiledFor.cpu.length > 0 && compiledFor.cpu.every((feature) => has.has(feature));
}

function pythonOn(python: string): Promise<PythonBuild | null> {
  let host = known.get(python);
  if (host === undefined) {
    host = probe(python);
    known.set(python, host);
  }
  return host;
}

async function probe(python: string): Promise<PythonBuild | null> {
  const { code, stdout } = await runCommand(python, ["-I", "-c", PROBE], { timeoutMs: PROBE_MS });
  const [version = "", abi = "", platform = "", libc = ""] = stdout.split("\n");
  return code === 0 && version !== "" ? { python: version, abi, platform, libc } : null;
}
