/**
 * Which CUDA this host's driver can run, and whether that is enough for a model.
 *
 * From CUDA 11 on a driver runs all versions of its major version; before that each version wanted its own driver or a
 * newer one. Source: NVIDIA, "CUDA Compatibility", "Minor Version Compatibility".
 */
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { askProgram } from "./ask-program.ts";

const LIMIT_MS = 10_000;
const FIRST_COMPATIBLE_MAJOR = 11;

/** The newest that the driver runs, as `nvidia-smi` says it above its table; null where it says none. Never throws. */
export async function askCudaVersion(): Promise<string | null> {
  const answer = await askProgram("nvidia-smi", [], LIMIT_MS).catch(() => null);
  return /\bCUDA(?: \w+)? Version\s*:\s*(\d+\.\d+)/.exec(answer?.stdout ?? "")?.[1] ?? null;
}

/** The CUDA of the PyTorch that this interpreter finds beside it; null without one, or where it is built for none. */
export async function torchCudaOf(python: string): Promise<string | null> {
  const lib = join(dirname(dirname(python)), "lib");
  for (const version of (await namesIn(lib)).filter((name) => /^python3(\.\d+)?$/.test(name))) {
    for (const packages of ["site-packages", "dist-packages"]) {
      const text = await readFile(join(lib, version, packages, "torch", "version.py"), "utf8").catch(() => "");
      const cuda = /^cuda\b[^=\n]*=\s*['"](\d+\.\d+)/m.exec(text)?.[1];
      if (cuda !== undefined) return cuda;
    }
  }
  return null;
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

/** Why a driver that runs CUDA up to `driver` can't run this; null when it can, or one of the two isn't known. */
export function cudaProblem(what: string, needed: string | null | undefined, driver: string | null): string | null {
  const wants = partsOf(needed);
  const has = partsOf(driver);
  if (wants === null || has === null) return null;
  const isOld = has.major < FIRST_COMPATIBLE_MAJOR && wants.major === has.major && wants.minor > has.minor;
  if (wants.major <= has.major && !isOld) return null;
  return `${what} ${needed}, and this host's NVIDIA driver runs CUDA up to ${driver}: update the driver, or choose a version for CUDA ${has.major}`;
}

function partsOf(version: string | null | undefined): { major: number; minor: number } | null {
  const [, major, minor] = /^(\d+)(?:\.(\d+))?/.exec(version ?? "") ?? [];
  return major === undefined ? null : { major: Number(major), minor: Number(minor ?? 0) };
}
