/**
 * Runs uploaded plugins through the Worker Loader: an isolate for each version, shared by the requests of this Worker,
 * with the CPU limit of its manifest and no way out but the gate.
 */
import { DistinctLimit } from "./distinct-limit.ts";
import type { GateProps } from "./gate-props.ts";
import { ENTRYPOINT, MAIN_MODULE, mainModule, PLUGIN_MODULE } from "./isolate-module.ts";
import { answerOf, HooksSchema, SandboxFault, verdictOf } from "./runner.ts";
import type { PluginRunner, Sandboxed } from "./runner.ts";

const COMPATIBILITY_DATE = "2026-11-02";
/** Of the platform: 4 distinct loaded Workers in flight at once, for a request. One is left to what was pushed. */
export const MAX_DISTINCT = 3;
export const MAX_DISTINCT_PUSHED = 1;

/**
 * `gate` makes the way out of a plugin that was granted hosts: this Worker's own entrypoint `PluginGate`. At most
 * `maxDistinct` versions have calls in flight; the others wait.
 */
export function createLoaderRunner(
  loader: WorkerLoader,
  gate: (props: GateProps) => Fetcher,
  maxDistinct: number = MAX_DISTINCT,
): PluginRunner {
  function isolateOf({ upload, network }: Sandboxed): Fetcher {
    const stub = loader.get(`${upload.hash}|${network.join(",")}`, () => ({
      compatibilityDate: COMPATIBILITY_DATE,
      mainModule: MAIN_MODULE,
      modules: { [MAIN_MODULE]: mainModule, [PLUGIN_MODULE]: upload.code },
      globalOutbound: network.length === 0 ? null : gate({ hosts: [...network] }),
    }));
    return stub.getEntrypoint(ENTRYPOINT, { limits: { cpuMs: upload.manifest.cpu_ms } });
  }
  const limit = new DistinctLimit(maxDistinct);
  const ask = (sandboxed: Sandboxed, path: string, request: unknown): Promise<unknown> =>
    limit.run(sandboxed.upload.hash, () =>
      faultless(async () => {
        const body = JSON.stringify(request);
        const answer = await isolateOf(sandboxed).fetch(`http://plugin/${path}`, { method: "POST", body });
        return answerOf(answer, body.length);
      }),
    );
  return {
    async load(sandboxed) {
      await ask(sandboxed, "load", {});
    },
    start: async (sandboxed, config) => HooksSchema.parse(await ask(sandboxed, "start", { config })),
    run: async (sandboxed, request) => verdictOf(await ask(sandboxed, "run", request)),
    // The platform ends an isolate that computes for too long.
    async suspect() {},
  };
}

async function faultless<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw new SandboxFault(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
