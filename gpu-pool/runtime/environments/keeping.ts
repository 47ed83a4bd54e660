/** What a pool takes away of the host's environments, and says of it. None of it rejects: a pool can do without. */
import { stat } from "node:fs/promises";
import { type Collected, collectEnvironments, freeEnvironments } from "./collect.ts";

type Log = (line: string) => void;

/** Takes away what nobody uses until the host's environments take no more than `budgetBytes`. */
export async function keepWithin(root: string, budgetBytes: number, log: Log): Promise<void> {
  const collected = await collecting(() => collectEnvironments(root, budgetBytes), log);
  if (collected === null || collected.keptBytes <= budgetBytes) return;
  log(
    `the environments in use take ${megabytes(collected.keptBytes)}, more than the ${megabytes(budgetBytes)} meant for them`,
  );
}

/** Where `folder` lies on the disk of the environments: takes away what nobody uses until `bytes` more are free. */
export async function makeSpaceFor(folder: string, root: string, bytes: number, log: Log): Promise<void> {
  const [own, theirs] = await Promise.all([folder, root].map((path) => stat(path).catch(() => null)));
  if (theirs === null || own?.dev !== theirs?.dev) return;
  await collecting(() => freeEnvironments(root, bytes), log);
}

async function collecting(collect: () => Promise<Collected>, log: Log): Promise<Collected | null> {
  try {
    const collected = await collect();
    const { removed, freedBytes } = collected;
    if (removed > 0) log(`removed ${removed} environments that nobody uses, ${megabytes(freedBytes)}`);
    if (collected.problem !== null) log(`an environment that nobody uses can't be removed: ${collected.problem}`);
    return collected;
  } catch (error) {
    log(`environments that nobody uses can't be removed: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

export const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
