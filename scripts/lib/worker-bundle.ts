/** Bundles the Worker for Miniflare as `wrangler deploy` would, with the bindings that wrangler.toml gives it. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build, stop } from "esbuild";
import type { V4WorkerOptionsShape } from "miniflare";
import type { WorkerConfig } from "./worker-config.ts";

const guard = fileURLToPath(new URL("local-guard.ts", import.meta.url));

/** Plain data: it goes over IPC to the edge process, which so starts again without wrangler or a build. */
export type WorkerBundle = V4WorkerOptionsShape & {
  name: string;
  compatibilityDate: string;
  modules: true;
  script: string;
};

/** The Worker of `config` with its code in one module, closed to Hosts other than loopback. Throws when the code doesn't hold. */
export async function bundleWorker(config: WorkerConfig): Promise<WorkerBundle> {
  const built = await build({
    stdin: {
      contents: entryOf(config.main),
      resolveDir: dirname(config.main),
      loader: "ts",
      sourcefile: "local-entry.ts",
    },
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    platform: "neutral",
    mainFields: ["browser", "module", "main"],
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    loader: { ".sql": "text", ".html": "text", ".txt": "text", ".bin": "binary" },
    define: { ...config.define, "process.env.NODE_ENV": '"production"' },
    sourcemap: "inline",
    sourcesContent: false,
    logLevel: "silent",
    keepNames: true,
  });
  // esbuild keeps a process for the next build; there is none.
  await stop();
  const { name, compatibilityDate, options } = config;
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
