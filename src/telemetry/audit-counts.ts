/**
 * Verdicts that this isolate told the topic `audit` and receivers, each by itself, and that it gave up, since it last
 * told the settings object, which adds them up for `/admin/v1/metrics`. The isolate tells it with each look at the
 * settings.
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
