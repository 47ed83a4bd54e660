/** What edge and shards say to each other of a split between a name's version and another one. */
import * as z from "zod";

/** Which of the two versions a prediction got: the name's own, or the one that is tried. */
export const arms = ["base", "canary"] as const;
export type Arm = (typeof arms)[number];

/** What a prediction carries of the split that chose its version. `id` names the split. */
export type CanaryTag = { id: string; arm: Arm };

/**
 * What became of an arm's predictions. `ended`: those that the model ended, well or not; `failed`: of these, by its own
 * fault; `unstarted`: those that no pool started in time.
 */
export const ArmCountsSchema = z.object({
  ended: z.int().min(0),
  failed: z.int().min(0),
  unstarted: z.int().min(0),
});
export type ArmCounts = z.infer<typeof ArmCountsSchema>;
export const CountsSchema = z.object({ base: ArmCountsSchema, canary: ArmCountsSchema });
export type Counts = z.infer<typeof CountsSchema>;

export function noCounts(): Counts {
  return { base: { ended: 0, failed: 0, unstarted: 0 }, canary: { ended: 0, failed: 0, unstarted: 0 } };
}

/** Adds to `counts` in place. */
export function addCounts(counts: Counts, more: Counts): void {
  for (const arm of arms) {
    counts[arm].ended += more[arm].ended;
    counts[arm].failed += more[arm].failed;
    counts[arm].unstarted += more[arm].unstarted;
  }
}
