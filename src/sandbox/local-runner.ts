/**
 * Runs uploaded plugins on one's own machine, where no CPU limit exists: each version has a workerd of its own, which
 * the supervisor (scripts/lib/plugin-hosts.ts) starts when it is asked, and ends and quarantines when it hangs.
 */
import * as z from "zod";
import { answerOf, HooksSchema, SandboxFault, verdictOf } from "./runner.ts";
import type { PluginRunner, Sandboxed } from "./runner.ts";

/** What the supervisor answers to `start`. */
const HostSchema = z.union([
  z.object({ url: z.url(), token: z.string() }),
  /** Why the version isn't run: its module doesn't load, or it hung too often. */
  z.object({ problem: z.string() }),
]);
type Host = { url: string; token: string };

/** A host that isn't there refuses within this time. */
const GONE_WITHIN_MS = 100;

/** A service binding, as far as it is used here. */
type Service = {
  fetch(
    url: string,
    init: { method: string; body: string; headers: Record<string, string> },
  ): Promise<{ ok: boolean; status: number; body: ReadableStream<Uint8Array> | null; json(): Promise<unknown> }>;
};

/** `supervisor` starts hosts; `network` reaches them on loopback. */
export function createLocalRunner(supervisor: Service, network: Service): PluginRunner {
  const hosts = new Map<string, Promise<Host>>();
  const keyOf = ({ upload, network: granted }: Sandboxed): string => `${upload.hash}|${granted.join(",")}`;

  function hostOf(sandboxed: Sandboxed): Promise<Host> {
    const key = keyOf(sandboxed);
    let host = hosts.get(key);
    if (host === undefined) {
      host = startHost(supervisor, sandboxed);
      hosts.set(key, host);
      host.catch(() => hosts.delete(key));
    }
    return host;
  }

  /**
   * A host that was gone already is started again, and asked. One that goes while it is asked isn't: the hook that it
   * ran may be what ended it, and would end the next one too.
   */
  async function call(sandboxed: Sandboxed, path: string, body: unknown): Promise<unknown> {
    const host = await hostOf(sandboxed);
    const askedAt = Date.now();
    try {
      return await ask(network, host, path, body);
    } catch (error) {
      if (error instanceof SandboxFault) throw error;
      hosts.delete(keyOf(sandboxed));
      if (Date.now() - askedAt > GONE_WITHIN_MS) throw new SandboxFault("its process ended", { cause: error });
      return ask(network, await hostOf(sandboxed), path, body);
    }
  }

  return {
    async load(sandboxed) {
      await call(sandboxed, "load", {});
    },
    start: async (sandboxed, config) => HooksSchema.parse(await call(sandboxed, "start", { config })),
    run: async (sandboxed, request) => verdictOf(await call(sandboxed, "run", request)),
    async suspect(sandboxed) {
      await post(supervisor, "http://supervisor/suspect", JSON.stringify({ key: keyOf(sandboxed) }));
    },
  };
}

async function startHost(supervisor: Service, sandboxed: Sandboxed): Promise<Host> {
  const { upload, network, pushedBy = null } = sandboxed;
  const key = `${upload.hash}|${network.join(",")}`;
  const request = { key, code: upload.code, network, pushedBy };
  const host = HostSchema.parse(
    await (await post(supervisor, "http://supervisor/start", JSON.stringify(request))).json(),
  );
  if ("problem" in host) throw new SandboxFault(host.problem);
  return host;
}

async function ask(network: Service, host: Host, path: string, body: unknown): Promise<unknown> {
  const text = JSON.stringify(body);
  return answerOf(await post(network, `${host.url}/${path}`, text, host.token), text.length);
}

async function post(to: Service, url: string, body: string, token?: string): ReturnType<Service["fetch"]> {
  const answer = await to.fetch(url, {
    method: "POST",
    body,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return answer;
}
