/**
 * The whole system on one machine: the edge (the Worker of wrangler.toml in workerd, on disk) and a GPU pool with its
 * model processes, supervised. `npm start`, the end-to-end tests, the chaos tests and the benchmarks all bring it up
 * through here.
 *
 *     lock → edge → account, key, token → pool → up → (any process dies: started again) → stopping → down
 */
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { createEdge } from "./edge.ts";
import { ensureCredentials } from "./local-accounts.ts";
import type { Say } from "./log-lines.ts";
import { createPool } from "./pool.ts";
import type { LocalPool } from "./pool.ts";
import { prepareEdge } from "./prepare-edge.ts";
import { ensureFolder, findPython, freePort } from "./preflight.ts";
import { stackPoolEnv } from "./stack-pool-env.ts";
import { StackError } from "./stack-error.ts";
import { loadSecrets, saveSecrets } from "./secrets.ts";
import type { Secrets } from "./secrets.ts";
import { takeLock } from "./stack-lock.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

export type StackOptions = {
  /** 0, the default, takes any free port. */
  port?: number;
  /** Where state lies; two stacks never share one. */
  stateDir: string;
  /** Whether to run a pool (true), and the folder of its models (examples/). */
  pool?: boolean;
  models?: string;
  /** The pool's environment, over the local stack's own. */
  poolEnv?: Readonly<Record<string, string>>;
  /** Variables of the Worker, over wrangler.toml's and the local ones. */
  vars?: Readonly<Record<string, string>>;
  /** Lets webhooks and URL inputs reach loopback. Default false: public addresses only. */
  allowLoopback?: boolean;
  /** Closes the Worker's way to public addresses, for tests that make addresses up. Default false. */
  offline?: boolean;
  /**
   * Origins of services of one's own, on whatever network, besides those that `vars` names: where the log may move to.
   */
  operatorOrigins?: readonly string[];
  /** Where workerd's inspector listens, on loopback. Default: it has none. */
  inspectorPort?: number;
  /** Makes what GPU hosts install (`/pool/install.sh`). Default: not. */
  servesPool?: boolean;
  /** Hears every line that a process of the stack prints. */
  say?: Say;
  /** Called whenever the pool ends because a setting of its own is wrong, or the edge refused it. */
  onPoolRefused?: () => void;
  /** Ends a start that is under way: it rejects once nothing of it runs any more. */
  signal?: AbortSignal;
  /** Called once the state folder is this stack's alone, before anything starts. */
  onOwned?: () => void;
};

export type Stack = {
  url: string;
  port: number;
  apiKey: string;
  adminKey: string;
  poolToken: string;
  kafka: { url: string; username: string; password: string };
  /** How far the pool has come with the models of its folder. */
  models: Pick<LocalPool, "found" | "offered">;
  pids(): { edge: number | null; workerd: number | null; pool: number | null };
  /** Drains the pool, then stops the edge. State stays. */
  stop(): Promise<void>;
  /** Kill -9, as a crash would; what was killed is started again. */
  killEdge(): void;
  killWorkerd(): void;
  killPool(): void;
  /** Takes the pool away until it is started again, by SIGTERM. */
  stopPool(): Promise<void>;
  startPool(): void;
};

/** Where the stack listens: its keys are for this machine. */
const HOST = "127.0.0.1";

/**
 * Brings the stack up; resolves when the edge answers and the pool runs. Throws `StackError` with one line when it
 * can't.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const say = options.say ?? (() => {});
  const stateDir = resolve(options.stateDir);
  const withPool = options.pool ?? true;
  ensureFolder(stateDir);
  const wantedPort = options.port ?? 0;
  const lock = await takeLock(stateDir, wantedPort, (ref) =>
    say(`ended ${ref.name} (process ${ref.pid}), left over from an earlier run`),
  );
  options.onOwned?.();
  const given = whenAborted(options.signal);
  try {
    const [port, python] = await Promise.all([freePort(wantedPort), withPool ? findPython() : ""]);
    const url = `http://${HOST}:${port}`;
    const secrets = loadSecrets(stateDir);
    const kafka = { url: `${url}/kafka`, username: secrets.kafkaUsername, password: secrets.kafkaPassword };
    const edge = createEdge(
      prepareEdge({ ...options, host: HOST, port, stateDir, vars: varsOf(options, secrets) }),
      say,
      lock.add,
    );
    try {
      await Promise.race([edge.start(), given]);
      const credentials = await Promise.race([ensureCredentials(url, secrets), given]);
      saveSecrets(stateDir, { ...secrets, ...credentials });
      const pool = createPool(
        {
          url,
          token: credentials.poolToken,
          models: options.models ?? join(root, "examples"),
          stateDir: join(stateDir, "pool"),
          python,
          env: stackPoolEnv(options, process.env),
          ...(options.onPoolRefused === undefined ? {} : { onRefused: options.onPoolRefused }),
        },
        say,
        lock.add,
      );
      if (withPool) pool.start();
      return {
        url,
        port,
        ...credentials,
        adminKey: secrets.adminKey,
        kafka,
        models: pool,
        pids: () => ({ ...edge.pids(), pool: pool.pid }),
        async stop() {
          await pool.stop();
          await edge.stop();
          lock.release();
        },
        killEdge: edge.killEdge,
        killWorkerd: edge.killWorkerd,
        killPool: () => pool.kill(),
        stopPool: () => pool.stop(),
        startPool: () => pool.start(),
      };
    } catch (error) {
      await edge.stop();
      throw error;
    }
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Rejects when the start is given up; nobody has to look. */
function whenAborted(signal: AbortSignal | undefined): Promise<never> {
  const given = Promise.withResolvers<never>();
  given.promise.catch(() => {});
  const giveUp = (): void => given.reject(new StackError("it was stopped before it was up."));
  signal?.addEventListener("abort", giveUp, { once: true });
  if (signal?.aborted === true) giveUp();
  return given.promise;
}

/** The Worker's secrets, and what the local stack says otherwise than wrangler.toml. */
function varsOf(options: StackOptions, secrets: Secrets): Record<string, string> {
  // The development user may produce to, consume from and create any topic.
  const user = { username: secrets.kafkaUsername, password: secrets.kafkaPassword };
  const kafkaUsers = [{ ...user, produce: ["*"], consume: ["*"], create: true }];
  return {
    EDGEPLANE_SECRET: secrets.edgeplaneSecret,
    ADMIN_KEY: secrets.adminKey,
    KAFKA_USERS: JSON.stringify(kafkaUsers),
    ...(options.allowLoopback === true ? { ALLOW_LOOPBACK_TARGETS: "1" } : {}),
    ...options.vars,
  };
}
