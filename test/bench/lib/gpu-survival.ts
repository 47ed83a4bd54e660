/**
 * What a card's owner sees go wrong: a cold start, two models that don't fit beside each other, inputs that exhaust the
 * memory, and a model process that is killed. Each is a row: what was done, what came of it, how long it took.
 */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Json } from "../../../src/contract/prediction.ts";
import { makeCards } from "../../integration/pool/fake-gpus.ts";
import { repository, startPoolAlone } from "./pool-alone.ts";
import type { PoolAlone } from "./pool-alone.ts";
import { descendantsOf } from "./processes.ts";

const SWITCHES = 4;
const RUNS = 40;
/** Of a card's memory that each of the two models says it takes: one fits, two don't. */
const SHARE = 0.6;
const MIB = 1024 * 1024;
/** The card that stands in where there is none. */
const FAKE_CARD_MIB = 16_384;

export type Finding = { what: string; result: string; isGood: boolean };

/** `copyModel` puts the encoder into a folder. `cardBytes`: the memory of the card; null without one. */
export async function checkSurvival(
  copyModel: (folder: string) => void,
  text: string,
  cardBytes: number | null,
): Promise<Finding[]> {
  using cards = cardBytes === null ? makeCards([FAKE_CARD_MIB]) : null;
  const takes = Math.floor((cardBytes ?? FAKE_CARD_MIB * MIB) * SHARE);
  const pool = await startPoolAlone(
    (models) => {
      for (const name of ["left", "right"]) {
        copyModel(join(models, name));
        const file = join(models, name, "cog.yaml");
        writeFileSync(file, `${readFileSync(file, "utf8").trimEnd()}\n  deviceMemoryBytes: ${takes}\n`);
      }
      cpSync(join(repository, "test/bench/gpu-models/greedy"), join(models, "greedy"), { recursive: true });
    },
    { edge: "rules", env: cards?.env ?? {} },
  );
  try {
    return [
      await coldStart(pool, { text }),
      await sharedCard(pool, { text }),
      await exhaustion(pool),
      await killed(pool),
    ];
  } finally {
    await pool.stop();
  }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

async function coldStart(pool: PoolAlone, input: Json): Promise<Finding> {
  const cold = await pool.run("left", input);
  const warm = await pool.run("left", input);
  const setupMs = ((await pool.gauge("edgeplane_pool_setup_seconds", "left")) ?? 0) * 1000;
  const restMs = Math.max(0, cold.ms - setupMs - warm.ms);
  return {
    what: "first prediction of a cold model",
    result: `${seconds(cold.ms)}: process and placement ${seconds(restMs)}, setup() ${seconds(setupMs)}, the run ${seconds(warm.ms)}`,
    isGood: cold.isGood && warm.isGood,
  };
}

async function sharedCard(pool: PoolAlone, input: Json): Promise<Finding> {
  const slowest: number[] = [];
  let failed = 0;
  for (let turn = 0; turn < SWITCHES; turn += 1) {
    const model = turn % 2 === 0 ? "right" : "left";
    const all = await Promise.all(Array.from({ length: 8 }, () => pool.run(model, input)));
    failed += all.filter(({ isGood }) => !isGood).length;
    slowest.push(Math.max(...all.map(({ ms }) => ms)));
  }
  return {
    what: `two models of ${SHARE * 100} % of the card, ${SWITCHES} times in turn, 8 predictions each`,
    result: `${failed} of ${SWITCHES * 8} failed; a change took ${seconds(Math.max(...slowest))} at most`,
    isGood: failed === 0,
  };
}

async function exhaustion(pool: PoolAlone): Promise<Finding> {
  const all = await Promise.all(
    Array.from({ length: RUNS }, async (_, index) => {
      const exhaust = index % 10 === 3;
      return { exhaust, ...(await pool.run("greedy", { exhaust })) };
    }),
  );
  const innocent = all.filter(({ exhaust }) => !exhaust);
  const harmed = innocent.filter(({ isGood }) => !isGood).length;
  const escaped = all.filter(({ exhaust, isGood }) => exhaust && isGood).length;
  return {
    what: `${RUNS} predictions in batches of 10, every tenth exhausts the memory`,
    result: `${harmed} of ${innocent.length} others failed, ${escaped} of ${RUNS - innocent.length} that exhaust it did not`,
    isGood: harmed === 0 && escaped === 0,
  };
}

async function killed(pool: PoolAlone): Promise<Finding> {
  const input = { seconds: 0.2 };
  await pool.run("greedy", input);
  const all = Array.from({ length: 20 }, () => pool.run("greedy", input));
  await Promise.race(all);
  const killedAt = performance.now();
  for (const pid of descendantsOf(pool.pid)) process.kill(pid, "SIGKILL");
  const again = pool.run("greedy", {}).then((one) => ({ ...one, backMs: performance.now() - killedAt }));
  const ended = await Promise.all(all);
  const { backMs, isGood } = await again;
  const failed = ended.filter((one) => !one.isGood).length;
  return {
    what: "all model processes killed (SIGKILL) under 20 predictions",
    result: `${failed} failed; the next one was answered ${seconds(backMs)} later`,
    isGood: failed === 0 && isGood,
  };
}
