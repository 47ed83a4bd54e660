/**
 * The full path over a real Apache Kafka (the edge produces through the bridge, the pool reads natively) beside the
 * same of another checkout of the product, whose folder is named by `--before`. Each has a broker and a bridge of its
 * own. Rounds alternate between the two; ratios are of the medians. Needs Java 17.
 *
 *     node test/bench/kafka-path.ts --before FOLDER [--rounds 5] [--seconds 4]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startStack } from "../../scripts/lib/stack.ts";
import { startKafkaLog } from "../chaos/harness/kafka-log.ts";
import { commitOf, moduleOf, ownRoot } from "./lib/checkout.ts";
import { echoModels, echoRequest } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { judge, printJudged } from "./lib/limits.ts";
import { runLoad } from "./lib/load.ts";
import { machine, versions } from "./lib/machine.ts";
import { median, spread } from "./lib/stats.ts";

offerHelp(import.meta.url);

const { values } = parseArgs({
  options: {
    before: { type: "string" },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "4" },
  },
});
if (values.before === undefined) throw new Error("say which checkout to compare with: --before FOLDER");
const rounds = Number(values.rounds);
const durationMs = Number(values.seconds) * 1000;
const dir = mkdtempSync(join(tmpdir(), "edgeplane-bench-kafka-path-"));

console.log(`machine: ${machine()}`);
console.log(`versions: Apache Kafka 4.4.0, 1 broker; ${versions(["miniflare", "workerd", "@platformatic/kafka"])}`);
console.log(`Edgeplane: ${commitOf(ownRoot)}; before: ${commitOf(values.before)}`);

const other = await moduleOf<{ startStack: typeof startStack }>(values.before, "scripts/lib/stack.ts");
const models = echoModels(dir);
const stops: (() => Promise<void>)[] = [];

/** A stack over a Kafka of its own. */
async function startOver(name: string, start: typeof startStack) {
  const kafka = await startKafkaLog(1);
  stops.unshift(() => kafka.stop());
  const stack = await start({
    stateDir: join(dir, name),
    models,
    allowLoopback: true,
    ...kafka.stackOptions("native"),
  });
  stops.unshift(() => stack.stop());
  return echoRequest(stack);
}

try {
  const sides = { before: await startOver("before", other.startStack), now: await startOver("now", startStack) };
  const p50 = { before: [] as number[], now: [] as number[] };
  const rate = { before: [] as number[], now: [] as number[] };
  for (const side of Object.values(sides)) {
    await runLoad({ ...side, clients: 1, requests: 200 });
    await runLoad({ ...side, clients: 32, durationMs: 2000 });
  }
  for (let round = 1; round <= rounds; round += 1) {
    for (const name of ["before", "now"] as const) {
      const single = await runLoad({ ...sides[name], clients: 1, durationMs });
      const many = await runLoad({ ...sides[name], clients: 32, durationMs });
      p50[name].push(single.p50Ms);
      rate[name].push(many.perSecond);
      console.log(
        `round ${round} ${name.padEnd(6)} 1 client p50 ${single.p50Ms.toFixed(2)} ms p99 ${single.p99Ms.toFixed(2)}; 32 clients ${many.perSecond.toFixed(0)}/s`,
      );
    }
  }
  const ratio = median(p50.now) / median(p50.before);
  const rates = median(rate.now) / median(rate.before);
  const isMet = printJudged(
    ["full path over Apache Kafka", "before", "now", "ratio", "must"],
    [
      [
        "1 client, p50 ms",
        spread(p50.before, 2),
        spread(p50.now, 2),
        `${ratio.toFixed(2)}×`,
        judge(ratio, { must: 1.1, aim: 1, unit: "×" }),
      ],
      [
        "32 clients, predictions/s",
        spread(rate.before, 0),
        spread(rate.now, 0),
        `${rates.toFixed(2)}×`,
        judge(rates, { must: 0.9, aim: 1, isFloor: true, unit: "×" }),
      ],
    ],
  );
  process.exitCode = isMet ? 0 : 1;
} finally {
  for (const stop of stops) await stop();
  rmSync(dir, { recursive: true, force: true });
}
