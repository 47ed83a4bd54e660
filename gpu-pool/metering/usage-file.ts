/**
 * What the edge has not taken yet of what this pool measured, on disk: what was closed survives the pool. Its times are
 * the wall clock's, as no other goes on from one life to the next.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import * as z from "zod";
import { ModelRefSchema } from "../../src/contract/prediction.ts";
import { intervalPhases, UsageReportSchema } from "../../src/contract/usage.ts";
import type { UsageReport } from "../../src/contract/usage.ts";
import type { BookState } from "./interval-book.ts";

const IntervalSchema = z.object({
  instance: z.string(),
  model: ModelRefSchema.nullable(),
  device: z.string(),
  phase: z.enum(intervalPhases).exclude(["boot"]),
  fromMs: z.number(),
  toMs: z.number(),
  gpuUs: z.number().int().nonnegative(),
});
const StateSchema = z.object({
  from: z.number().int().nonnegative(),
  intervals: z.array(IntervalSchema),
  unsent: z.array(IntervalSchema),
});
const KeptSchema = z.object({
  books: z.array(z.object({ session: z.string(), state: StateSchema })),
  reports: z.array(UsageReportSchema),
});
export type Kept = { books: { session: string; state: BookState }[]; reports: UsageReport[] };

export type UsageFile = { keep(kept: Kept): void; load(): Kept };

/** `onProblem` is told once that the disk refuses; everything is in memory, too. */
export function createUsageFile(path: string, onProblem: (problem: string) => void): UsageFile {
  let isRefused = false;
  let isEmpty = false;
  return {
    keep(kept) {
      const hasNothing = kept.reports.length === 0 && kept.books.every(({ state }) => isDone(state));
      if (hasNothing && isEmpty) return;
      try {
        if (hasNothing) rmSync(path, { force: true });
        else {
          writeFileSync(`${path}.part`, JSON.stringify(kept), { mode: 0o600 });
          renameSync(`${path}.part`, path);
        }
        isEmpty = hasNothing;
        isRefused = false;
      } catch (error) {
        if (!isRefused) onProblem(error instanceof Error ? error.message : String(error));
        isRefused = true;
      }
    },
    load() {
      try {
        return KeptSchema.parse(JSON.parse(readFileSync(path, "utf8")));
      } catch {
        return { books: [], reports: [] };
      }
    },
  };
}

function isDone({ intervals, unsent }: BookState): boolean {
  return intervals.length + unsent.length === 0;
}
