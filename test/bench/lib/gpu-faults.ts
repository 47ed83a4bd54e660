/**
 * What a card's owner meets with a pool as it starts by itself: isolated processes and checked cards. Each is a row, as
 * in gpu-survival.ts: an error that ends a process's use of the card, and batches that are larger than its memory.
 */
import { cpSync } from "node:fs";
import { join } from "node:path";
import type { Finding } from "./gpu-survival.ts";
import { repository, startPoolAlone } from "./pool-alone.ts";
import type { PoolAlone } from "./pool-alone.ts";

const MODEL = "fragile";
const BYSTANDERS = 12;
const LARGE = 96;

/** `cardName`: what CUDA calls the card; null without one. */
export async function checkFaults(cardName: string | null): Promise<Finding[]> {
  const pool = await startPoolAlone(
    (models) => cpSync(join(repository, "test/bench/gpu-models", MODEL), join(models, MODEL), { recursive: true }),
    { edge: "rules", env: { EDGEPLANE_ISOLATION: "auto", EDGEPLANE_DEVICE_CHECK: "auto" } },
  );
  try {
    return [await defaults(pool, cardName), await brokenContext(pool), await largeBatches(pool)];
  } finally {
    await pool.stop();
  }
}

async function defaults(pool: PoolAlone, cardName: string | null): Promise<Finding> {
  const { isGood, output } = await pool.run(MODEL, {});
  const { isolation, devices } = await pool.status();
  const problems = devices.flatMap(({ problem }) => problem ?? []);
  const why = isolation.why === null ? "" : ` (${isolation.why})`;
  return {
    what: "a pool as it starts by itself: cards checked, processes isolated",
    result: `isolation: ${isolation.kind}${why}; the model ran on ${JSON.stringify(output)}; ${problems.join("; ") || "no card has a problem"}`,
    isGood: isGood && problems.length === 0 && output === (cardName ?? "cpu"),
  };
}

/** One prediction that breaks the process's context among others: those run, in this process or in the next. */
async function brokenContext(pool: PoolAlone): Promise<Finding> {
  const breaking = pool.run(MODEL, { breaks: true });
  const others = await Promise.all(Array.from({ length: BYSTANDERS }, () => pool.run(MODEL, {})));
  const harmed = others.filter(({ isGood }) => !isGood).length;
  const after = await pool.run(MODEL, {});
  const deaths = await deathsOf(pool);
  const { isGood: escaped, problem } = await breaking;
  return {
    what: `a device-side assertion fails in one of ${BYSTANDERS + 1} predictions`,
    result: `${harmed} of the others failed, and the next ${after.isGood ? "ran" : "failed"}; it was told "${firstLine(problem)}"; ${deaths}`,
    isGood: harmed === 0 && after.isGood && !escaped,
  };
}

/** Batches of 32 inputs that each take a twentieth of what is free: the pool learns how many fit. */
async function largeBatches(pool: PoolAlone): Promise<Finding> {
  const all = await Promise.all(Array.from({ length: LARGE }, () => pool.run(MODEL, { large: true })));
  const failed = all.filter(({ isGood }) => !isGood);
  const { models } = await pool.status();
  const learned = models.flatMap(({ memoryByCost }) => memoryByCost.map(({ cost }) => cost));
  return {
    what: `${LARGE} predictions of which 20 fill the card, in batches of 32 at most`,
    result: `${failed.length} failed${failed.length === 0 ? "" : `: ${firstLine(failed[0]?.problem ?? null)}`}; the largest batch that fitted had ${Math.max(0, ...learned)}`,
    isGood: failed.length === 0,
  };
}

async function deathsOf(pool: PoolAlone): Promise<string> {
  const { models } = await pool.status();
  const instances = models.flatMap((model) => model.instances);
  return instances.map(({ restarts, lastDeath }) => `${restarts} restarts (${firstLine(lastDeath)})`).join("; ");
}

const firstLine = (text: string | null): string =>
  text
    ?.split("\n")
    .find((line) => line.trim() !== "")
    ?.slice(0, 160) ?? "nothing";
