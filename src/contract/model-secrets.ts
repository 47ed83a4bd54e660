/** Secrets of a model: environment variables of its processes that its owner sets, and nobody can read again. */
import * as z from "zod";

/** As many as a model may have, and as large as each may be. */
export const MAX_MODEL_SECRETS = 32;
export const MAX_SECRET_CHARS = 16 * 1024;

/** The system's, and the pool's own: a secret of that name would do something else than its author thinks. */
const RESERVED =
  /^(?:EDGEPLANE_|LD_|MALLOC_|PYTHON|(?:CUDA_VISIBLE_DEVICES|GCONV_PATH|GLIBC_TUNABLES|HOME|LOCPATH|PATH|TMPDIR)$)/;

/** The name of an environment variable. */
export const SecretNameSchema = z
  .string()
  .regex(/^[A-Z][A-Z0-9_]{0,63}$/, "upper-case letters, digits and '_', at most 64, beginning with a letter")
  .refine((name) => !RESERVED.test(name), "is a name that the system or the pool uses");

/** What a pool gets: a value by each name that is set. */
export const ModelSecretsSchema = z.object({ secrets: z.record(z.string(), z.string()) });
