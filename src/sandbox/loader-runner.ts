/**
 * Runs uploaded plugins through the Worker Loader: an isolate for each version, shared by the requests of this Worker,
 * with the CPU limit of its manifest and no way out but the gate.
 */
import { DistinctLimit } from "./distinct-limit.ts";
import type { GateProps } from "./gate-props.ts";
import { ENTRYPOINT, MAIN_MODULE, mainModule, PLUGIN_MODULE } from "./isolate-module.ts";
import { HooksSchema, SandboxFault, verdictOf } from "./runner.ts";
import type { PluginRunner, Sandboxed } from "./runner.ts";
import type { Json } from "../contract/prediction.ts";

const COMPATIBILITY_DATE = "2026-11-02";
/** Of the platform: distinct loaded Workers in flight at once, for a request. */
const MAX_DISTINCT = 4;

/** What the isolate's entrypoint answers (isolate-module.ts). */
type Isolate = {
  load(): Promise<void>;
  start(request: { config: Json }): Promise<unknown>;
  run(request: { config: Json; phase: string; subject: unknown }): Promise<unknown>;
};

/** `gate` makes the way out of a plugin that was granted hosts: this Worker's own entrypoint `PluginGate`. */
export function createLoaderRunner(loader: WorkerLoader, gate: (props: GateProps) => Fetcher): PluginRunner {
  function isolateOf({ upload, network }: Sandboxed): Isolate {
    const stub = loader.get(`${upload.hash}|${network.join(",")}`, () => ({
      compatibilityDate: COMPATIBILITY_DATE,
      mainModule: MAIN_MODULE,
      modules: { [MAIN_MODULE]: mainModule, [PLUGIN_MODULE]: upload.code },
      globalOutbound: network.length === 0 ? null : gate({ hosts: [...network] }),
    }));
    const limits = { cpuMs: upload.manifest.cpu_ms };
    return stub.getEntrypoint(ENTRYPOINT, { limits }) as unknown as Isolate;
  }
  const limit = new DistinctLimit(MAX_DISTINCT);
  const ask = <T>(sandboxed: Sandboxed, call: (isolate: Isolate) => Promise<T>): Promise<T> =>
    limit.run(sandboxed.upload.hash, () => faultless(() => call(isolateOf(sandboxed))));
  return {
    load: (sandboxed) => ask(sandboxed, (isolate) => isolate.load()),
    async start(sandboxed, config) {
      return HooksSchema.parse(await ask(sandboxed, (isolate) => isolate.start({ config })));
    },
    async run(sandboxed, request) {
      return verdictOf(await ask(sandboxed, (isolate) => isolate.run(request)));
    },
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
