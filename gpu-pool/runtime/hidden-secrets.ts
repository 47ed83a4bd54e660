/**
 * Keys that the pool leaves out of the environment of what it starts: a model, what installs its packages, and a check
 * of a GPU. They are its own secrets, and those of the `edgeplane` command, which an operator's shell may have. Where
 * nothing isolates a model, it could read them in the pool's own environment all the same.
 */
export const hiddenSecrets = {
  EDGEPLANE_POOL_TOKEN: undefined,
  EDGEPLANE_LOG_PASSWORD: undefined,
  EDGEPLANE_KV_TOKEN: undefined,
  EDGEPLANE_API_KEY: undefined,
  EDGEPLANE_ADMIN_KEY: undefined,
} as const;
