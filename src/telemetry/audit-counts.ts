/**
 * Events of the topic `audit` that this isolate published, and that it gave up, since it last told. Told to the settings
 * object with each look at the settings, which adds them up for `/admin/v1/metrics`.
 */
export type AuditCounts = { published: number; dropped: number };

let counts: AuditCounts = { published: 0, dropped: 0 };

export function countAudit(outcome: keyof AuditCounts, count: number): void {
  counts[outcome] += count;
}

/** Takes them out: whoever could not tell them puts them back. */
export function takeAuditCounts(): AuditCounts {
  const taken = counts;
  counts = { published: 0, dropped: 0 };
  return taken;
}
