/** The pool's own secrets, which no process that it starts for a model may see: neither the model nor what installs its packages. */
export const hiddenSecrets = {
  EDGEPLANE_POOL_TOKEN: undefined,
  EDGEPLANE_LOG_PASSWORD: undefined,
  EDGEPLANE_KV_TOKEN: undefined,
} as const;
