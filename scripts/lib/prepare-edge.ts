/** The Worker, and all that the edge process needs to run it on this machine. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureDocsAssets } from "./docs-assets.ts";
import type { EdgeOptions } from "./edge-options.ts";
import { writePoolArchive } from "./pool-archive.ts";
import { checkWorkerVars } from "./preflight.ts";
import { bundleWorker } from "./worker-bundle.ts";
import { readWorkerConfig } from "./worker-config.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Where a bridge listens unless it is told otherwise: one on this machine can be moved to without a restart. */
const LOCAL_BRIDGE = ["http://127.0.0.1:8790", "http://localhost:8790"];
/**
 * What differs from a deployment: one shard, so that what comes together is synced to the one disk together, and few
 * partitions.
 */
const localVars = { SHARD_COUNT: "1", LOG_PARTITIONS: "4" };

export type EdgeNeeds = Pick<EdgeOptions, "host" | "port"> & {
  stateDir: string;
  /** Variables and secrets of the Worker, over wrangler.toml's and the local ones. */
  vars: Readonly<Record<string, string>>;
  /** Origins of the operator's own services, besides those that `vars` names. */
  operatorOrigins?: readonly string[] | undefined;
  allowLoopback?: boolean | undefined;
  offline?: boolean | undefined;
  inspectorPort?: number | undefined;
  /** Makes what GPU hosts install: `/pool/install.sh` and its archive. Default: not. */
  servesPool?: boolean | undefined;
};

/** Bundles the Worker. Throws `StackError` when a variable is wrong. */
export async function prepareEdge(needs: EdgeNeeds): Promise<EdgeOptions> {
  const { host, port, stateDir, vars, inspectorPort } = needs;
  const config = await readWorkerConfig(
    join(root, "wrangler.toml"),
    join(root, "src/registry/migrations"),
    join(root, "node_modules/.cache/edgeplane/worker-config.json"),
  );
  const [worker, assetsPath] = await Promise.all([bundleWorker(config), ensureDocsAssets(join(stateDir, "assets"))]);
  if (needs.servesPool === true) await writePoolArchive(assetsPath);
  checkWorkerVars({ ...worker.bindings, ...vars });
  return {
    type: "start",
    assetsPath,
    worker,
    migrations: config.migrations,
    host,
    port,
    ...(inspectorPort === undefined ? {} : { inspectorPort }),
    statePath: join(stateDir, "edge"),
    bindings: { ...localVars, ...vars },
    allowLoopback: needs.allowLoopback ?? false,
    offline: needs.offline ?? false,
    operatorOrigins: [vars["LOG_URL"], vars["KV_REST_URL"], ...LOCAL_BRIDGE, ...(needs.operatorOrigins ?? [])].flatMap(
      (url) => (url !== undefined && URL.canParse(url) ? [new URL(url).origin] : []),
    ),
  };
}
