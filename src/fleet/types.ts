/** What the rest of the edge asks of a pool session. */

/** Whether the session still holds its lease, and for how long it does if nothing more is heard of it. */
export type Lease = { alive: boolean; remainingMs: number };

/** Who a pool token is and what it may touch; the tenant behind a prediction is never told. */
export type PoolIdentity = { poolTokenId: string; lanes: string[]; mayRegisterModels: boolean };
