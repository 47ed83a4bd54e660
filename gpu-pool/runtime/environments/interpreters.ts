/** Finds the Python interpreters of the machine, and the one that is right, or nearest, for a model. */
import { readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { runCommand } from "./command.ts";

export type Interpreter = { path: string; major: number; minor: number; patch: number };

/** The oldest Python that the model process runs on. */
export const oldestMinor = 8;

const probe = "import sys; print(sys.executable, *sys.version_info[:3], sep='\\n')";
const probeTimeoutMs = 10_000;

/** What a command is, when it is a Python that the model process runs on; null otherwise. */
export async function probeInterpreter(command: string): Promise<Interpreter | null> {
  const result = await runCommand(command, ["-I", "-c", probe], { timeoutMs: probeTimeoutMs });
  const [path, major, minor, patch] = result.stdout.trim().split("\n");
  if (result.code !== 0 || path === undefined || path === "") return null;
  const found = { path, major: Number(major), minor: Number(minor), patch: Number(patch) };
  return found.major === 3 && found.minor >= oldestMinor ? found : null;
}

async function pyenvCommands(): Promise<string[]> {
  const root = join(process.env["PYENV_ROOT"] ?? join(homedir(), ".pyenv"), "versions");
  const names = await readdir(root).catch(() => []);
  return names.filter((name) => /^3\.\d+\.\d+$/.test(name)).map((name) => join(root, name, "bin", "python3"));
}

async function pathCommands(): Promise<string[]> {
  const folders = (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "" && !folder.includes("pyenv/shims"));
  const found: string[] = [];
  for (const folder of folders) {
    const names = await readdir(folder).catch(() => []);
    found.push(...names.filter((name) => /^python3(\.\d+)?$/.test(name)).map((name) => join(folder, name)));
  }
  return found;
}

let known: Promise<Interpreter[]> | undefined;

async function search(): Promise<Interpreter[]> {
  const commands = [...(await pathCommands()), ...(await pyenvCommands())];
  const found = await Promise.all([...new Set(commands)].map(probeInterpreter));
  const byPath = new Map<string, Interpreter>();
  for (const one of found) if (one !== null) byPath.set(one.path, one);
  return [...byPath.values()];
}

/** Every Python of the machine that a model can run on: of PATH, and of pyenv. Looked for once per process. */
export function findInterpreters(): Promise<Interpreter[]> {
  known ??= search();
  return known;
}

/** Forget what was found, after an interpreter was installed. */
export function forgetInterpreters(): void {
  known = undefined;
}

/** The Python that `python3` means here. */
export function defaultInterpreter(): Promise<Interpreter | null> {
  return probeInterpreter(process.env["EDGEPLANE_PYTHON"] ?? "python3");
}

export type Choice = { interpreter: Interpreter; exact: boolean };

/**
 * The interpreter for `wanted` (`3.12` or `3.12.4`): the same minor version, else the nearest one, the newer of two;
 * null without any.
 */
export function chooseInterpreter(wanted: string, available: readonly Interpreter[]): Choice | null {
  const [, minorText, patchText] = wanted.split(".");
  const minor = Number(minorText);
  const patch = patchText === undefined ? undefined : Number(patchText);
  const distance = (one: Interpreter): number =>
    Math.abs(one.minor - minor) * 10_000 +
    (one.minor < minor ? 5000 : 0) +
    (patch === undefined ? 999 - one.patch : Math.abs(one.patch - patch));
  const [best] = available.toSorted((a, b) => distance(a) - distance(b));
  return best === undefined ? null : { interpreter: best, exact: best.minor === minor };
}

/** The version as people write it. */
export function versionOf(one: Interpreter): string {
  return `${one.major}.${one.minor}.${one.patch}`;
}
