/** What the rest of the edge asks of a pool session. */
import * as z from "zod";

/** Whether the session still holds its lease, and for how long it does if nothing more is heard of it. */
export type Lease = { alive: boolean; remainingMs: number };

/** Who a pool token is and what it may touch; the tenant behind a prediction is never told. */
export const PoolIdentitySchema = z.object({
  poolTokenId: z.string(),
  lanes: z.array(z.string()),
  mayRegisterModels: z.boolean(),
  /** The owners whose models it may register. */
  owners: z.array(z.string()).default(["local"]),
});
export type PoolIdentity = z.infer<typeof PoolIdentitySchema>;
