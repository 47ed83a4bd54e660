/**
 * The edge as a service of one's own machine: the Worker and workerd of the local stack. It has no account, key, token
 * or Kafka user but those that its operator makes, and answers requests to its public address only.
 */
import { resolve } from "node:path";
import { createEdge } from "./edge.ts";
import type { Say } from "./log-lines.ts";
import { prepareEdge } from "./prepare-edge.ts";
import { ensureFolder, freePort } from "./preflight.ts";
import { loadSecrets } from "./secrets.ts";
import { takeLock } from "./stack-lock.ts";

export type ServedOptions = {
  host: string;
  port: number;
  stateDir: string;
  /** Where clients reach it, such as https://edge.example.com. */
  publicOrigin: string;
  vars: Readonly<Record<string, string>>;
  operatorOrigins: readonly string[];
  say: Say;
  /** Closes the Worker's way to public addresses, for tests. */
  offline?: boolean;
};

export type ServedEdge = {
  port: number;
  /** State stays. */
  stop(): Promise<void>;
};

/**
 * Resolves when it answers; from then on it starts again what dies. Throws `StackError` with one line when it can't.
 */
export async function startServedEdge(options: ServedOptions): Promise<ServedEdge> {
  const { host, publicOrigin, say } = options;
  const stateDir = resolve(options.stateDir);
  ensureFolder(stateDir);
  const lock = await takeLock(stateDir, options.port, (ref) =>
    say(`ended ${ref.name} (process ${ref.pid}), left over from an earlier run`),
  );
  try {
    const port = await freePort(options.port);
    const { edgeplaneSecret, adminKey } = loadSecrets(stateDir);
    const vars = {
      EDGEPLANE_SECRET: edgeplaneSecret,
      ADMIN_KEY: adminKey,
      PUBLIC_ORIGIN: publicOrigin,
      LOCAL_HOSTS: new URL(publicOrigin).host,
      ...options.vars,
    };
    const edge = createEdge(prepareEdge({ ...options, host, port, stateDir, vars, servesPool: true }), say, lock.add);
    try {
      await edge.start();
    } catch (error) {
      await edge.stop();
      throw error;
    }
    return {
      port,
      async stop() {
        await edge.stop().finally(() => lock.release());
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}
