/** Reads wrangler.toml and bundles the Worker for Miniflare, with the bindings that `wrangler deploy` would give it. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, stop } from "esbuild";
import type { V4WorkerOptionsShape } from "miniflare";
import { unstable_getMiniflareWorkerOptions, unstable_readConfig, unstable_splitSqlQuery } from "wrangler";
import * as z from "zod";
import type { Migration } from "./d1-migrate.ts";

const guard = fileURLToPath(new URL("local-guard.ts", import.meta.url));

const NamedSchema = z.object({ name: z.string(), compatibility_date: z.string() });

/** Plain data: it goes over IPC to the edge process, which so starts again without wrangler or a build. */
export type WorkerBundle = V4WorkerOptionsShape & {
  name: string;
  compatibilityDate: string;
  modules: true;
  script: string;
};

/**
 * The Worker that `configPath` describes as options of Miniflare 4's shape: its code in one module, closed to Hosts other than loopback.
 * Throws when the configuration or the code doesn't hold.
 */
export async function bundleWorker(configPath: string): Promise<WorkerBundle> {
  const { workerOptions, main, define } = unstable_getMiniflareWorkerOptions(configPath);
  if (main === undefined) throw new Error(`${configPath} names no \`main\`.`);
  const built = await build({
    stdin: { contents: entryOf(main), resolveDir: dirname(main), loader: "ts", sourcefile: "local-entry.ts" },
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    platform: "neutral",
    mainFields: ["browser", "module", "main"],
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    loader: { ".sql": "text", ".html": "text", ".txt": "text", ".bin": "binary" },
    define: { ...define, "process.env.NODE_ENV": '"production"' },
    sourcemap: "inline",
    sourcesContent: false,
    logLevel: "silent",
    keepNames: true,
  });
  // esbuild keeps a process for the next build; there is none.
  await stop();
  const { modulesRules: _rules, ...options } = workerOptions;
  const { name, compatibility_date: compatibilityDate } = NamedSchema.parse(
    unstable_readConfig({ config: configPath }),
  );
  return { ...options, name, compatibilityDate, modules: true, script: built.outputFiles[0]?.text ?? "" };
}

function entryOf(main: string): string {
  return `
    import worker from ${JSON.stringify(main)};
    import { guardHost } from ${JSON.stringify(guard)};
    export * from ${JSON.stringify(main)};
    export default guardHost(worker);
  `;
}

/** The `*.sql` files of `path`, in the order of their names, cut into statements. */
export function readMigrations(path: string): Migration[] {
  const files = readdirSync(path).filter((name) => name.endsWith(".sql"));
  return files
    .toSorted()
    .map((name) => ({ name, statements: unstable_splitSqlQuery(readFileSync(join(path, name), "utf8")) }));
}
