/**
 * The full path over a real Apache Kafka (the edge produces through the bridge, the pool reads natively) beside the same path over the
 * embedded log. Rounds alternate between the two; the ratio is of the medians. Needs Java 17.
 *
 *     node test/bench/kafka-path.ts [--rounds 5] [--seconds 4]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startStack } from "../../scripts/lib/stack.ts";
import { startKafkaLog } from "../chaos/harness/kafka-log.ts";
import { echoModels, echoRequest } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { runLoad } from "./lib/load.ts";
import { machine, versions } from "./lib/machine.ts";
import { median, spread, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const AIM = 1.5;

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, seconds: { type: "string", default: "4" } },
});
const rounds = Number(values.rounds);
const durationMs = Number(values.seconds) * 1000;
const dir = mkdtempSync(join(tmpdir(), "edgeplane-bench-kafka-path-"));

console.log(`machine: ${machine()}`);
console.log(`versions: Apache Kafka 4.4.0, 1 broker; ${versions(["miniflare", "workerd", "@platformatic/kafka"])}`);

const kafka = await startKafkaLog(1);
const models = echoModels(dir);
const embedded = await startStack({ stateDir: join(dir, "embedded"), models });
const overKafka = await startStack({
  stateDir: join(dir, "kafka"),
  models,
  allowLoopback: true,
  ...kafka.stackOptions("native"),
});
try {
  const sides = { embedded: await echoRequest(embedded), kafka: await echoRequest(overKafka) };
  const p50 = { embedded: [] as number[], kafka: [] as number[] };
  const rate = { embedded: [] as number[], kafka: [] as number[] };
  for (const side of Object.values(sides)) {
    await runLoad({ ...side, clients: 1, requests: 200 });
    await runLoad({ ...side, clients: 32, durationMs: 2000 });
  }
  for (let round = 1; round <= rounds; round += 1) {
    for (const name of ["embedded", "kafka"] as const) {
      const single = await runLoad({ ...sides[name], clients: 1, durationMs });
      const many = await runLoad({ ...sides[name], clients: 32, durationMs });
      p50[name].push(single.p50Ms);
      rate[name].push(many.perSecond);
      console.log(
        `round ${round} ${name.padEnd(8)} 1 client p50 ${single.p50Ms.toFixed(2)} ms p99 ${single.p99Ms.toFixed(2)}; 32 clients ${many.perSecond.toFixed(0)}/s`,
      );
    }
  }
  const ratio = median(p50.kafka) / median(p50.embedded);
  const rates = median(rate.kafka) / median(rate.embedded);
  console.log(
    table(
      ["full path", "embedded log", "Apache Kafka", "ratio", "aim"],
      [
        ["1 client, p50 ms", spread(p50.embedded, 2), spread(p50.kafka, 2), `${ratio.toFixed(2)}×`, `at most ${AIM}×`],
        ["32 clients, predictions/s", spread(rate.embedded, 0), spread(rate.kafka, 0), `${rates.toFixed(2)}×`, ""],
      ],
    ),
  );
  process.exitCode = ratio <= AIM ? 0 : 1;
} finally {
  await overKafka.stop();
  await embedded.stop();
  await kafka.stop();
  rmSync(dir, { recursive: true, force: true });
}
