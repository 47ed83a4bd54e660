/** The GPU pool of the local stack, as a host would run it: nothing but a URL, a token and a folder of models. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
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
  /** Its settings are wrong, or the edge refused it: it is started again, and will end so again. */
  onRefused?: () => void;
};

/** The pool's exit code for that. */
const REFUSED = 2;

export function createPool(options: PoolOptions, say: Say, onProcess: (name: string, pid: number) => void): Supervised {
  return createSupervised({
    name: "pool",
    stopMs: STOP_MS,
    askToStop: (child) => child.kill("SIGTERM"),
    spawn() {
      const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program], {
        stdio: ["ignore", "pipe", "pipe"],
        detached: true,
        env: {
          ...process.env,
          EDGEPLANE_URL: options.url,
          EDGEPLANE_POOL_TOKEN: options.token,
          EDGEPLANE_MODELS: options.models,
          EDGEPLANE_STATE_DIR: options.stateDir,
          EDGEPLANE_PYTHON: options.python,
          EDGEPLANE_DRAIN_TIMEOUT_MS: String(DRAIN_MS),
          ...options.env,
        },
      });
      prefixLines("pool", child.stdout, say);
      prefixLines("pool", child.stderr, say);
      child.once("spawn", () => child.pid !== undefined && onProcess("pool", child.pid));
      return child;
    },
    onExit({ code, signal, pauseMs }) {
      say(`pool │ died (${signal ?? code}); starting it again${pauseMs > 0 ? ` in ${pauseMs} ms` : ""}`);
      if (code === REFUSED) options.onRefused?.();
    },
  });
}
