/** The configuration of one uploaded plugin's workerd, and how it says that it is up. */
import type { ChildProcess } from "node:child_process";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import * as z from "zod";
import { MAIN_MODULE, mainModule, PLUGIN_MODULE } from "../../src/sandbox/isolate-module.ts";

const COMPATIBILITY_DATE = "2026-11-02";

/** As src/sandbox/gate.ts: HTTPS to the hosts that were granted, and nothing else. */
const gate = `export default {
  fetch(request, env) {
    const url = new URL(request.url);
    const isGranted = url.protocol === "https:" && url.port === "" && env.HOSTS.includes(url.hostname);
    if (!isGranted) return new Response("This plugin was not granted " + url.origin + ".", { status: 403 });
    return fetch(new Request(request, { redirect: "manual" }));
  },
};
`;

/** As much as the platform gives an isolate. */
const PUSHED_HEAP_MB = 128;
/**
 * What the process may map writable beyond its threads' stacks: the heap, buffers, and about 0.6 GB that it reserves.
 */
const PUSHED_DATA_KB = 1024 * 1024;
const DATA_PER_CORE_KB = 16 * 1024;

/**
 * The program and its arguments. One that came with a pushed model has its memory bounded by the system too, where that
 * can be (Linux): V8 counts no buffers.
 */
export function hostCommand(args: readonly string[], isPushed: boolean): [program: string, args: string[]] {
  if (!isPushed) return [workerdPath(), [...args]];
  const limitKb = PUSHED_DATA_KB + DATA_PER_CORE_KB * availableParallelism();
  return ["/bin/sh", ["-c", `ulimit -d ${limitKb}; exec "$0" "$@"`, workerdPath(), ...args]];
}

/** The files of the host's folder, by name. Code and token lie in files, so that nothing of them is in arguments. */
export function hostConfig(
  { code, network, isPushed }: { code: string; network: readonly string[]; isPushed: boolean },
  token: string,
  hasNetwork: boolean,
): [string, string][] {
  const allow = hasNetwork && network.length > 0 ? '"public"' : "";
  const flags = isPushed ? `v8Flags = ["--max-heap-size=${PUSHED_HEAP_MB}"],` : "";
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  ${flags}
  services = [
    (name = "plugin", worker = (
      modules = [
        (name = "${MAIN_MODULE}", esModule = embed "${MAIN_MODULE}"),
        (name = "${PLUGIN_MODULE}", esModule = embed "${PLUGIN_MODULE}"),
      ],
      bindings = [(name = "PLUGIN_TOKEN", text = "${token}")],
      compatibilityDate = "${COMPATIBILITY_DATE}",
      globalOutbound = "gate",
    )),
    (name = "gate", worker = (
      modules = [(name = "gate.js", esModule = embed "gate.js")],
      bindings = [(name = "HOSTS", json = embed "hosts.json")],
      compatibilityDate = "${COMPATIBILITY_DATE}",
      globalOutbound = "outside",
    )),
    (name = "outside", network = (allow = [${allow}], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "plugin")],
);
`;
  return [
    ["config.capnp", config],
    [MAIN_MODULE, mainModule],
    [PLUGIN_MODULE, code],
    ["gate.js", gate],
    ["hosts.json", JSON.stringify(network)],
  ];
}

/** The package has no types: its export is the program's path. */
const WorkerdSchema = z.object({ default: z.string() });

export function workerdPath(): string {
  return WorkerdSchema.parse(createRequire(import.meta.url)("workerd")).default;
}

const ListenSchema = z.object({ event: z.literal("listen"), port: z.int() });

/** The port on which a started workerd listens; null when it ends, or doesn't say so within `limitMs`. */
export async function firstListen(child: ChildProcess, limitMs: number): Promise<number | null> {
  const control = child.stdio[3];
  if (!(control instanceof Readable)) return null;
  const told = Promise.withResolvers<number | null>();
  createInterface(control).once("line", (line) =>
    told.resolve(ListenSchema.safeParse(JSON.parse(line)).data?.port ?? null),
  );
  child.once("exit", () => told.resolve(null));
  child.once("error", () => told.resolve(null));
  const timer = setTimeout(() => told.resolve(null), limitMs);
  const port = await told.promise;
  clearTimeout(timer);
  return port;
}
