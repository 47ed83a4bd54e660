/**
 * An edge on one port and one state folder, of the release before or of today, and pools of either: each can be taken
 * away and started again as the other.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEdge } from "../../../scripts/lib/edge.ts";
import type { Edge } from "../../../scripts/lib/edge.ts";
import { EdgeOptionsSchema } from "../../../scripts/lib/edge-options.ts";
import type { EdgeOptions } from "../../../scripts/lib/edge-options.ts";
import { ensureCredentials } from "../../../scripts/lib/local-accounts.ts";
import type { Credentials } from "../../../scripts/lib/local-accounts.ts";
import { createPool } from "../../../scripts/lib/pool.ts";
import type { LocalPool } from "../../../scripts/lib/pool.ts";
import { prepareEdge } from "../../../scripts/lib/prepare-edge.ts";
import { ensureFolder, findPython, freePort } from "../../../scripts/lib/preflight.ts";
import { loadSecrets, saveSecrets } from "../../../scripts/lib/secrets.ts";
import { notingIn, readHeldRuns, runsByKey } from "../../chaos/harness/held-devices.ts";
import { modelsDir } from "../../chaos/harness/world.ts";
import { releaseBefore } from "../../fixtures/release-before/open.ts";

/** Shorter than the longest runs, so that some are handed back. */
const DRAIN_MS = 2000;

export type Release = "before" | "today";

export type Site = {
  dir: string;
  stateDir: string;
  url: string;
  credentials: Credentials;
  adminKey: string;
  stopEdge(how: "stop" | "kill"): Promise<void>;
  startEdge(release: Release): Promise<void>;
  /**
   * The edge is asked to leave (`stop`), or killed with its workerd, and the other one is there as soon as it answers.
   */
  changeEdge(to: Release, how: "stop" | "kill"): Promise<void>;
  /** `drainMs`: how long what runs may take when it is stopped. */
  startPool(name: string, release: Release, drainMs?: number): Promise<LocalPool>;
  /** Drains it. */
  stopPool(name: string): Promise<void>;
  /** Drains the pool, and starts the other release's program over what it left. */
  changePool(name: string, to: Release): Promise<LocalPool>;
  /** The runs of each key as the models noted them. */
  runs(): Map<string, string[]>;
  lastLines(count: number): string[];
  end(): Promise<void>;
};

/** With an edge of `release`, on a state folder of its own or on that one. */
export async function openSite(release: Release, state: string | null = null): Promise<Site> {
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-releases-"));
  const stateDir = state ?? join(dir, "state");
  ensureFolder(stateDir);
  const [port, python] = await Promise.all([freePort(0), findPython()]);
  const url = `http://127.0.0.1:${port}`;
  const secrets = loadSecrets(stateDir);
  const lines: string[] = [];
  const say = (text: string): void => {
    lines.push(text);
    if (process.env["CHAOS_VERBOSE"] === "1") console.log(text);
  };
  const vars = { EDGEPLANE_SECRET: secrets.edgeplaneSecret, ADMIN_KEY: secrets.adminKey, ALLOW_LOOPBACK_TARGETS: "1" };
  const ours = await prepareEdge({ host: "127.0.0.1", port, stateDir, vars, allowLoopback: true, offline: true });
  const codeOf = (which: Release): EdgeOptions =>
    which === "today" ? ours : EdgeOptionsSchema.parse({ ...ours, ...releaseBefore().edge });
  let edge: Edge | null = null;
  async function startEdge(which: Release): Promise<void> {
    edge = createEdge(Promise.resolve(codeOf(which)), say, () => {});
    await edge.start();
  }
  async function stopEdge(how: "stop" | "kill"): Promise<void> {
    const gone = edge?.stop();
    if (how === "kill") {
      // It first: it would start another workerd in the place of one that dies.
      edge?.killEdge();
      edge?.killWorkerd();
    }
    await gone;
  }
  const runsFile = join(dir, "runs");
  writeFileSync(runsFile, "");
  const pools = new Map<string, LocalPool>();
  await startEdge(release);
  const credentials = await ensureCredentials(
    url,
    secrets,
    release === "before" ? { may_register_models: true } : undefined,
  );
  saveSecrets(stateDir, { ...secrets, ...credentials });

  async function startPool(name: string, which: Release, drainMs = DRAIN_MS): Promise<LocalPool> {
    const pool = createPool(
      {
        ...{ url, token: credentials.poolToken, models: modelsDir, stateDir: join(dir, name), python },
        ...(which === "before" ? { program: releaseBefore().pool } : {}),
        env: {
          ...notingIn(runsFile),
          ...{ EDGEPLANE_METRICS_PORT: "0", EDGEPLANE_ISOLATION: "off" },
          EDGEPLANE_DRAIN_TIMEOUT_MS: String(drainMs),
        },
      },
      say,
      () => {},
    );
    pools.set(name, pool);
    pool.start();
    await pool.offered;
    return pool;
  }

  async function stopPool(name: string): Promise<void> {
    await pools.get(name)?.stop();
  }

  return {
    ...{ dir, stateDir, url, credentials, adminKey: secrets.adminKey, startPool },
    stopEdge,
    startEdge,
    async changeEdge(to, how) {
      await stopEdge(how);
      await startEdge(to);
    },
    stopPool,
    async changePool(name, to) {
      await stopPool(name);
      return startPool(name, to);
    },
    runs: () => runsByKey(readHeldRuns(runsFile)),
    lastLines: (count) => lines.slice(-count),
    async end() {
      await Promise.all([...pools.values()].map((pool) => pool.stop()));
      await edge?.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
