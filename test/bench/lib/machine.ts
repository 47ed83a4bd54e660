/** Where and with what a bench ran. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import * as z from "zod";

const PackageSchema = z.object({ version: z.string() });
const root = fileURLToPath(new URL("../../../", import.meta.url));

/** One line on the processor, the memory, the system and the load that the machine had before the bench. */
export function machine(): string {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  const memoryGiB = Math.round(totalmem() / 2 ** 30);
  const load = loadavg()[0]?.toFixed(1) ?? "?";
  return `${model}, ${availableParallelism()} cores, ${memoryGiB} GiB, Linux ${release()}; load before: ${load}`;
}

/** Versions of Node, Python, Redis and the packages named, as they are installed for `from`. */
export function versions(packages: readonly string[], from = root): string {
  const require = createRequire(`${from}/package.json`);
  const installed = packages.map((name) => {
    const path = require.resolve.paths(name)?.map((folder) => `${folder}/${name}/package.json`) ?? [];
    for (const candidate of path) {
      try {
        return `${name} ${PackageSchema.parse(JSON.parse(readFileSync(candidate, "utf8"))).version}`;
      } catch {
        continue;
      }
    }
    return `${name} ?`;
  });
  return [`Node ${process.versions.node}`, ...installed].join(", ");
}

/** What `redis-server --version` says. */
export function redisVersion(): string {
  const text = execFileSync("redis-server", ["--version"], { encoding: "utf8" });
  return `Redis ${/v=(\S+)/.exec(text)?.[1] ?? "?"}`;
}
