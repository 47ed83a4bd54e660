/** The chaos tests over a real Kafka: the same load, the same judge (test/chaos/chaos.test.ts), another log. */
import { afterAll, beforeAll, describe, it } from "vitest";
import { hasJava } from "../conformance/bridge/engines.ts";
import { startKafkaLog } from "./harness/kafka-log.ts";
import type { KafkaLog } from "./harness/kafka-log.ts";
import { expectNothingLost } from "./harness/expect-nothing-lost.ts";
import { kafkaScenarios } from "./scenarios/kafka.ts";

const SCENARIO_LIMIT_MS = 240_000;

describe.runIf(hasJava)("chaos over Kafka", () => {
  let log: KafkaLog;

  beforeAll(async () => {
    log = await startKafkaLog(3);
  });

  afterAll(async () => {
    await log?.stop();
  });

  for (const scenario of kafkaScenarios) {
    it(scenario.name, { timeout: SCENARIO_LIMIT_MS }, async () => expectNothingLost(scenario.of(log)));
  }
});
