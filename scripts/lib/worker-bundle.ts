/** Bundles the Worker for Miniflare as `wrangler deploy` would, with the bindings that wrangler.toml gives it. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build, stop } from "esbuild";
import * as z from "zod";
import type { V4WorkerOptionsShape } from "miniflare";
import type { WorkerConfig } from "./worker-config.ts";

const guard = fileURLToPath(new URL("local-guard.ts", import.meta.url));
const bucket = fileURLToPath(new URL("../../src/storage/local/local-bucket.ts", import.meta.url));
const bucketIndex = fileURLToPath(new URL("../../src/storage/local/bucket-index.ts", import.meta.url));

const DurableObjectsSchema = z.record(z.string(), z.looseObject({ className: z.string() }));

/** Plain data: it goes over IPC to the edge process, which so starts again without wrangler or a build. */
export type WorkerBundle = V4WorkerOptionsShape & {
  name: string;
  compatibilityDate: string;
  modules: true;
  script: string;
};

/**
 * The Worker of `config` with its code in one module, closed to Hosts other than loopback. Throws when the code doesn't
 * hold.
 */
export async function bundleWorker(config: WorkerConfig): Promise<WorkerBundle> {
  const { r2Buckets: _replaced, ...options } = config.options;
  const durableObjects = DurableObjectsSchema.parse(options["durableObjects"]);
  const built = await build({
    stdin: {
      contents: entryOf(
        config.main,
        Object.values(durableObjects).map(({ className }) => className),
      ),
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
  });
  // esbuild keeps a process for the next build; there is none.
  await stop();
  const { name, compatibilityDate } = config;
  return {
    ...options,
    durableObjects: { ...durableObjects, BLOB_INDEX: { className: "LocalBucketIndex", useSQLite: true } },
    name,
    compatibilityDate,
    modules: true,
    script: built.outputFiles[0]?.text ?? "",
  };
}

/** The product's entry, guarded, with the local bucket in the place of R2's, in the Worker and in its objects. */
function entryOf(main: string, classes: readonly string[]): string {
  return `
    import worker, * as product from ${JSON.stringify(main)};
    import { guardHost } from ${JSON.stringify(guard)};
    import { sweepContent, withLocalBucket } from ${JSON.stringify(bucket)};
    export * from ${JSON.stringify(main)};
    export { LocalBucketIndex } from ${JSON.stringify(bucketIndex)};
    ${classes.map((name) => `export class ${name} extends product.${name} { constructor(ctx, env) { super(ctx, withLocalBucket(env)); } }`).join("\n")}
    export default guardHost({
      ...worker,
      fetch: (request, env, ctx) => worker.fetch(request, withLocalBucket(env), ctx),
      scheduled: (event, env, ctx) => {
        ctx.waitUntil(sweepContent(env));
        return worker.scheduled?.(event, withLocalBucket(env), ctx);
      },
    });
  `;
}
