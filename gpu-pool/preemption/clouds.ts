/** The clouds whose notices a pool understands, by the name of `--preemption`. */
import type { Ask, Cloud } from "./notice.ts";
import { createAws } from "./aws.ts";
import { createAzure } from "./azure.ts";
import { createGcp } from "./gcp.ts";

export const clouds = { aws: createAws, gcp: createGcp, azure: createAzure } as const satisfies Record<
  string,
  (ask: Ask) => Cloud
>;
export type CloudName = keyof typeof clouds;

export const cloudNames = ["aws", "gcp", "azure"] as const satisfies CloudName[];
