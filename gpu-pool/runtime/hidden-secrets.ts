/**
 * The pool's own secrets, which it leaves out of the environment of what it starts: a model, what installs its packages,
 * and a check of a GPU. Where nothing isolates a model, it could read them in the pool's own environment all the same.
 */
export const hiddenSecrets = {
  EDGEPLANE_POOL_TOKEN: undefined,
  EDGEPLANE_LOG_PASSWORD: undefined,
  EDGEPLANE_KV_TOKEN: undefined,
} as const;
