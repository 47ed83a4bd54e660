/**
 * What the pool tells the process that started it, where that gave it an IPC channel: which models its folder holds,
 * and that the edge has them.
 */
import * as z from "zod";

const FoundSchema = z.object({
  type: z.literal("found"),
  models: z.array(z.object({ owner: z.string(), name: z.string(), version: z.string() })),
  /** Folders that could not be read as models. */
  problems: z.array(z.object({ folder: z.string(), problem: z.string() })),
});

export const PoolReportSchema = z.discriminatedUnion("type", [
  FoundSchema,
  /** The edge has taken the models that were found. */
  z.object({ type: z.literal("offered") }),
]);
export type FoundModels = Omit<z.infer<typeof FoundSchema>, "type">;

/** Says nothing where nobody listens, or no longer. */
export function tellSupervisor(report: z.input<typeof PoolReportSchema>): void {
  if (process.connected) process.send?.(report, () => {});
}
