/** What a stack's meters tell: the records on the topic `usage`, and the sums that accounts and the operator read. */
import * as z from "zod";
import { createTopicReader } from "../../../scripts/lib/usage-sink/reader.ts";
import type { LogAccess } from "../../../scripts/lib/usage-sink/reader.ts";
import { UsageEventSchema } from "../../../src/metering/cloud-event.ts";
import type { MeterRecord } from "../../../src/metering/record.ts";

/** How long a read of the topic waits where nothing is left. */
const WAIT_MS = 100;
const LIMIT = 1000;

const amounts = ["requests", "billed", "queued_ms", "run_ms", "gpu_us", "instance_us"] as const;
export type Sums = Record<(typeof amounts)[number], number>;

const SumsSchema = z.looseObject({
  requests: z.number(),
  billed: z.number(),
  queued_ms: z.number(),
  run_ms: z.number(),
  gpu_us: z.number(),
  instance_us: z.number(),
});
const PageSchema = z.object({ results: z.array(SumsSchema), next_cursor: z.null() });

export const nothing = (): Sums => ({ requests: 0, billed: 0, queued_ms: 0, run_ms: 0, gpu_us: 0, instance_us: 0 });

/** What these records add up to. */
export function sumOf(records: Iterable<MeterRecord>): Sums {
  const sums = nothing();
  for (const record of records) {
    if (record.kind === "instance.interval") {
      sums.instance_us += record.gpuUs;
      continue;
    }
    const { billed, wasBilled = billed } = record;
    const isCorrection = record.flags.includes("correction");
    sums.requests += isCorrection ? 0 : 1;
    sums.billed += Number(billed) - (isCorrection ? Number(wasBilled) : 0);
    sums.queued_ms += record.queuedMs;
    sums.run_ms += record.runMs;
    sums.gpu_us += record.gpuUs;
  }
  return sums;
}

export type UsageRecords = {
  /** By id. */
  readonly records: ReadonlyMap<string, MeterRecord>;
  /** Ids under which two records came that say different things. */
  readonly torn: ReadonlySet<string>;
  /** Reads on to the end of the topic. */
  collect(): Promise<void>;
};

/** Records of the topic at `access` from its oldest on, or from its end as it is now. */
export async function openUsageRecords(access: LogAccess, from: "oldest" | "end"): Promise<UsageRecords> {
  const reader = createTopicReader(access, "usage", WAIT_MS);
  const offsets: Record<string, number> = {};
  const records = new Map<string, MeterRecord>();
  const torn = new Set<string>();

  async function readOn(take: (value: string) => void): Promise<void> {
    for (;;) {
      const read = await reader.read(offsets);
      if (read.length === 0) return;
      for (const { partition, offset, value } of read) {
        offsets[partition] = Math.max(offsets[partition] ?? 0, offset + 1);
        take(value);
      }
    }
  }

  if (from === "end") await readOn(() => {});
  return {
    records,
    torn,
    collect: () =>
      readOn((value) => {
        const { data } = UsageEventSchema.parse(JSON.parse(value));
        const known = records.get(data.id);
        if (known !== undefined && JSON.stringify(known) !== JSON.stringify(data)) torn.add(data.id);
        records.set(data.id, data);
      }),
  };
}

/** What is read at `path`, which has a query, with `key`; summed over all that is told apart there. */
export async function readUsage(url: string, key: string, path: string): Promise<Sums> {
  const response = await fetch(`${url}${path}&limit=${LIMIT}`, { headers: { authorization: `Bearer ${key}` } });
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  const sums = nothing();
  for (const one of PageSchema.parse(await response.json()).results)
    for (const amount of amounts) sums[amount] += one[amount];
  return sums;
}
