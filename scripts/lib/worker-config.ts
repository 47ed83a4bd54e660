/**
 * What wrangler makes of wrangler.toml and of the migrations. Loading wrangler takes longer than all the rest of a
 * start, so its answers are kept in a file, under the hash of everything that they come from.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as z from "zod";
import { MigrationSchema } from "./edge-options.ts";

const WorkerConfigSchema = z.object({
  name: z.string(),
  compatibilityDate: z.string(),
  /** The entry's absolute path. */
  main: z.string(),
  define: z.record(z.string(), z.string()),
  /** Options of Miniflare 4's shape: bindings and flags, without code. */
  options: z.record(z.string(), z.unknown()),
  migrations: z.array(MigrationSchema),
});
export type WorkerConfig = z.infer<typeof WorkerConfigSchema>;

const CachedSchema = z.object({ key: z.string(), config: WorkerConfigSchema });

/**
 * Reads the configuration at `configPath` and the migrations; by way of `cacheFile`, which it writes. Throws when they
 * don't hold.
 */
export async function readWorkerConfig(
  configPath: string,
  migrationsPath: string,
  cacheFile: string,
): Promise<WorkerConfig> {
  const files = readdirSync(migrationsPath)
    .toSorted()
    .map((name) => [name, readFileSync(join(migrationsPath, name), "utf8")]);
  const sources = [readFileSync(configPath, "utf8"), configPath, wranglerVersion(), files];
  const key = createHash("sha256").update(JSON.stringify(sources)).digest("hex");
  const cached = readCached(cacheFile);
  if (cached?.key === key) return cached.config;
  const config = await askWrangler(configPath, migrationsPath);
  keep(cacheFile, JSON.stringify({ key, config }));
  return config;
}

async function askWrangler(configPath: string, migrationsPath: string): Promise<WorkerConfig> {
  const { readMigrations } = await import("./migrations.ts");
  const wrangler = await import("wrangler");
  const { workerOptions, main, define } = wrangler.unstable_getMiniflareWorkerOptions(configPath);
  if (main === undefined) throw new Error(`${configPath} names no \`main\`.`);
  const { modulesRules: _rules, ...options } = workerOptions;
  const named = z
    .object({ name: z.string(), compatibility_date: z.string() })
    .parse(wrangler.unstable_readConfig({ config: configPath }));
  const migrations = readMigrations(migrationsPath);
  return { name: named.name, compatibilityDate: named.compatibility_date, main, define, options, migrations };
}

/** Several stacks may start at once, and the folder may be read-only: then the next start asks again. */
function keep(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(`${file}.${process.pid}`, text);
    renameSync(`${file}.${process.pid}`, file);
  } catch {
    // Nothing is kept.
  }
}

function readCached(file: string): z.infer<typeof CachedSchema> | null {
  try {
    return CachedSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return null;
  }
}

function wranglerVersion(): string {
  return readFileSync(createRequire(import.meta.url).resolve("wrangler/package.json"), "utf8");
}
