/**
 * What a built environment depends on, as one name: two hosts on which it is the same can use each other's. Too much in
 * it costs a build; too little gives a model packages that don't fit its host.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { LayerAbout } from "../../../src/contract/environment-layer.ts";
import type { BuildSchema } from "./cog-yaml.ts";
import { runCommand } from "./command.ts";
import type { Interpreter } from "./interpreters.ts";
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
/** Settings of pip and uv that make them choose other packages, or other builds of them. */
const CHOOSING =
  /^(?:PIP|UV)_(?:(?:EXTRA_|DEFAULT_)?INDEX(?:_URL)?|INDEX_STRATEGY|FIND_LINKS|CONSTRAINT|BUILD_CONSTRAINT|OVERRIDE|PRE|PRERELEASE|RESOLUTION|EXCLUDE_NEWER|NO_BINARY|ONLY_BINARY|PREFER_BINARY|TORCH_BACKEND)$/;
/** Of these, those that name files, one or several, by spaces. */
const NAMING_FILES = /^(?:PIP|UV)_(?:CONSTRAINT|BUILD_CONSTRAINT|OVERRIDE)$/;
/** The model's folder is somewhere else on each host, and what is installed so leads there. */
const EDITABLE = /^(?:-e|--editable)\b/;

const known = new Map<string, Promise<PythonBuild | null>>();
type PythonBuild = { python: string; abi: string; platform: string; libc: string };

export type WishOptions = {
  interpreter: Interpreter;
  build: z.output<typeof BuildSchema>;
  /** The newest that the driver runs. */
  cuda: string | null;
  /** The names of this host's. */
  gpus: readonly string[];
};

/**
 * Null where no other host can use what is built here: `build.run` may write anywhere, packages in the model's folder
 * lead there, or this system's C library isn't known.
 */
export async function wishOf(
  owner: string,
  requirements: Requirements,
  { interpreter, build, cuda, gpus }: WishOptions,
): Promise<LayerWish | null> {
  const { lines, buildCommands, hash } = requirements;
  if (lines.length === 0 || buildCommands.length > 0 || lines.some((line) => EDITABLE.test(line))) return null;
  const python = await pythonOn(interpreter.path);
  if (python === null || python.libc === "") return null;
  const parts = {
    format: FORMAT,
    requirements: hash,
    ...python,
    cuda: cudaPart(cuda),
    wants: [build.gpu ?? null, build.cuda ?? null],
    systemPackages: (build.system_packages ?? []).toSorted(),
    settings: choosingSettings(process.env),
    files: await choosingFiles(process.env),
  };
  const key = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  const about = { python: python.python, platform: python.platform, libc: python.libc, cuda };
  return { owner, key, about, host: { cpu: await processorFeatures(), gpus: [...new Set(gpus)].toSorted() } };
}

/** As far as it tells what can run: the major version, where one driver runs all of it. */
function cudaPart(cuda: string | null): string | null {
  const [major = ""] = cuda?.split(".") ?? [];
  return Number(major) >= FIRST_COMPATIBLE_MAJOR ? major : cuda;
}

/**
 * Where pip and uv read more such settings. Sources: pip's documentation, "Configuration"; uv's, "Configuration files".
 */
function configurationFiles(env: Readonly<Record<string, string | undefined>>): string[] {
  const own = env["XDG_CONFIG_HOME"] || join(homedir(), ".config");
  const named = [env["PIP_CONFIG_FILE"] ?? "", env["UV_CONFIG_FILE"] ?? ""].filter((path) => path !== "");
  const usual = ["/etc/pip.conf", "/etc/xdg/pip/pip.conf", join(homedir(), ".pip/pip.conf"), join(own, "pip/pip.conf")];
  const lists = Object.entries(env).flatMap(([name, value = ""]) =>
    NAMING_FILES.test(name) ? value.split(/\s+/) : [],
  );
  return [...named, ...usual, "/etc/uv/uv.toml", join(own, "uv/uv.toml"), ...lists];
}

/** What they say, wherever they lie. */
async function choosingFiles(env: Readonly<Record<string, string | undefined>>): Promise<string[]> {
  const texts = await Promise.all(configurationFiles(env).map(async (path) => readFile(path, "utf8").catch(() => "")));
  return texts.filter((text) => text.trim() !== "").map(withoutUsers);
}

const withoutUsers = (text: string): string => text.replaceAll(/:\/\/[^/@\s]*@/g, "://");

/** Of addresses, without who asks there: that may be another on each host. */
export function choosingSettings(env: Readonly<Record<string, string | undefined>>): [string, string][] {
  return Object.entries(env)
    .flatMap(([name, value = ""]): [string, string][] =>
      CHOOSING.test(name) && value !== "" ? [[name, withoutUsers(value)]] : [],
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
