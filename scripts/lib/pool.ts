/** The GPU pool of the local stack, as a host would run it: nothing but a URL, a token and a folder of models. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { PoolReportSchema } from "../../gpu-pool/supervisor.ts";
import type { FoundModels } from "../../gpu-pool/supervisor.ts";
import { prefixLines } from "./log-lines.ts";
import type { Say } from "./log-lines.ts";
import { createSupervised } from "./supervised.ts";
import type { Supervised } from "./supervised.ts";

const program = fileURLToPath(new URL("../../gpu-pool/main.ts", import.meta.url));
const STOP_MS = 20_000;
/** After it the pool still delivers results and ends its processes: about 9 s at most. */
const DRAIN_MS = 10_000;

export type PoolOptions = {
  url: string;
  token: string;
  /** The folder of the models, one subfolder each. */
  models: string;
  stateDir: string;
  python: string;
  env: Readonly<Record<string, string>>;
  /** Another program than this checkout's: an earlier release's. */
  program?: string;
  /** Its settings are wrong, or the edge refused it: it is started again, and will end so again. */
  onRefused?: () => void;
};

export type LocalPool = Supervised & {
  /** Resolves when the pool has read its folder. */
  readonly found: Promise<FoundModels>;
  /** Resolves when the edge has taken the models of the folder. */
  readonly offered: Promise<FoundModels>;
};

/** The pool's exit code for that. */
const REFUSED = 2;

export function createPool(options: PoolOptions, say: Say, onProcess: (name: string, pid: number) => void): LocalPool {
  const found = Promise.withResolvers<FoundModels>();
  const offered = Promise.withResolvers<FoundModels>();

  function launch(): ChildProcess {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", options.program ?? program], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      detached: true,
      env: {
        ...process.env,
        EDGEPLANE_URL: options.url,
        EDGEPLANE_POOL_TOKEN: options.token,
        EDGEPLANE_MODELS: options.models,
        EDGEPLANE_STATE_DIR: options.stateDir,
        EDGEPLANE_PYTHON: options.python,
        EDGEPLANE_DRAIN_TIMEOUT_MS: String(DRAIN_MS),
        // A machine that somebody works on is no rented host.
        EDGEPLANE_PREEMPTION: "off",
        ...options.env,
      },
    });
    prefixLines("pool", child.stdout, say);
    prefixLines("pool", child.stderr, say);
    let inFolder: FoundModels = { models: [], problems: [] };
    child.on("message", (raw) => {
      const report = PoolReportSchema.parse(raw);
      if (report.type === "found") inFolder = report;
      (report.type === "found" ? found : offered).resolve(inFolder);
    });
    child.once("spawn", () => child.pid !== undefined && onProcess("pool", child.pid));
    return child;
  }

  const supervised = createSupervised({
    name: "pool",
    stopMs: STOP_MS,
    askToStop: (child) => child.kill("SIGTERM"),
    spawn: launch,
    onExit({ code, signal, pauseMs }) {
      say(`pool │ died (${signal ?? code}); starting it again${pauseMs > 0 ? ` in ${pauseMs} ms` : ""}`);
      if (code === REFUSED) options.onRefused?.();
    },
  });
  return {
    get pid() {
      return supervised.pid;
    },
    start: supervised.start,
    stop: supervised.stop,
    kill: supervised.kill,
    found: found.promise,
    offered: offered.promise,
  };
}
