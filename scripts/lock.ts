/**
 * `npm run lock`: writes package-lock.json and completes it. npm leaves out optional packages for other platforms when
 * the registry at hand (a partial mirror, say) doesn't serve them, and `npm ci` of npm 11 then refuses the lock
 * everywhere. Each that is missing gets an entry without a checksum: nothing is fetched for it but on the platform that
 * its name tells.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import * as z from "zod";

const LOCK = "package-lock.json";
const HELP = `npm run lock

Writes package-lock.json for package.json, and completes it for platforms whose packages the registry at hand doesn't serve.`;

const LockSchema = z.record(z.string(), z.unknown());
const PackagesSchema = z.record(z.string(), z.record(z.string(), z.unknown()));
const OptionalSchema = z.record(z.string(), z.string());
type Packages = z.infer<typeof PackagesSchema>;

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const processors = ["arm64", "arm", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "wasm32", "x64"];

/** What a platform package's name says that it runs on, as `os`, `cpu` and `libc` of package.json have it. */
export function platformOf(name: string): { os?: string[]; cpu?: string[]; libc?: string[] } {
  const parts = name.split(/[/-]/);
  const os = parts.map((part) => (part === "windows" ? "win32" : part)).find((part) => systems.includes(part));
  const cpu = parts.map((part) => (part === "64" ? "x64" : part)).find((part) => processors.includes(part));
  const libc = parts.includes("musl") ? "musl" : parts.includes("gnu") ? "glibc" : undefined;
  return {
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(os === undefined ? {} : { os: [os] }),
    ...(libc === undefined ? {} : { libc: [libc] }),
  };
}

/** The packages of a lock with the optional ones that it names and lacks, and the names of those. */
export function completePackages(packages: Packages): { packages: Packages; added: string[] } {
  const complete: Packages = { ...packages };
  const added: string[] = [];
  for (const parent of Object.values(packages)) {
    const optional = OptionalSchema.parse(parent["optionalDependencies"] ?? {});
    for (const [name, version] of Object.entries(optional)) {
      const path = `node_modules/${name}`;
      const known = Object.keys(complete).some((key) => key === path || key.endsWith(`/${path}`));
      if (known || !/^\d/.test(version)) continue;
      const dev = parent["dev"] === true ? { dev: true } : {};
      complete[path] = { version, ...platformOf(name), ...dev, optional: true };
      added.push(`${name}@${version}`);
    }
  }
  const sorted = Object.entries(complete).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { packages: Object.fromEntries(sorted), added };
}

if (import.meta.main && process.argv.some((arg) => arg === "--help" || arg === "-h")) console.log(HELP);
else if (import.meta.main) {
  execFileSync("npm", ["install", "--package-lock-only", "--ignore-scripts", "--loglevel=error"], { stdio: "inherit" });
  const lock = LockSchema.parse(JSON.parse(readFileSync(LOCK, "utf8")));
  const { packages, added } = completePackages(PackagesSchema.parse(lock["packages"]));
  writeFileSync(LOCK, `${JSON.stringify({ ...lock, packages }, null, 2)}\n`);
  console.log(added.length === 0 ? "The lock was complete." : `Completed the lock by ${added.length} packages.`);
}
