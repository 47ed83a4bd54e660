/** For `vi.waitFor` and `vi.waitUntil`, which by themselves give up after a second: a busy machine takes longer. */
export const PATIENCE = { timeout: 15_000, interval: 50 } as const;
