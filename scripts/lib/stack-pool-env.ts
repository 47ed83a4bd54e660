/** The settings of the local stack's own pool, in its environment. */
type Options = { allowLoopback?: boolean; poolEnv?: Readonly<Record<string, string>> };

/**
 * `env`: of the stack, in which its user may set the same. The edge keeps no environments for this machine unless it is
 * told to: its pools share one folder of them, and none of another machine reaches it.
 */
export function stackPoolEnv(options: Options, env: Readonly<Record<string, string | undefined>>) {
  return {
    EDGEPLANE_METRICS_PORT: "0",
    EDGEPLANE_STORED_ENVIRONMENTS: env["EDGEPLANE_STORED_ENVIRONMENTS"] ?? "0",
    ...(options.allowLoopback === true ? { EDGEPLANE_ALLOW_LOOPBACK_INPUTS: "1" } : {}),
    ...options.poolEnv,
  };
}
