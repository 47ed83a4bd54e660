/**
 * The pool's own secrets, which are left out of the environment of what it starts for a model: the model, and what
 * installs its packages. Where nothing isolates a model, it could read them in the pool's own environment all the same.
 */
export const hiddenSecrets = {
  EDGEPLANE_POOL_TOKEN: undefined,
  EDGEPLANE_LOG_PASSWORD: undefined,
  EDGEPLANE_KV_TOKEN: undefined,
} as const;
