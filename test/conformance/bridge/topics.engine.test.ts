/** `npm run topics` against a real Kafka. */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Admin, ConfigResourceTypes } from "@platformatic/kafka";
import { all } from "./fixture.ts";
import { hasJava, startKafka } from "./engines.ts";
import type { TestKafka } from "./engines.ts";

describe.runIf(hasJava)("npm run topics", () => {
  let kafka: TestKafka;

  beforeAll(async () => {
    kafka = await startKafka();
  }, 120_000);

  afterAll(async () => {
    await kafka?.stop();
  }, 60_000);

  async function topics(args: string[], env: Record<string, string> = {}) {
    return new Promise<{ code: number; text: string }>((resolve) => {
      execFile(
        process.execPath,
        ["scripts/topics.ts", ...args],
        { env: { PATH: process.env["PATH"] ?? "", ...env } },
        (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), text: stdout + stderr }),
      );
    });
  }

  it("creates what is missing with the partitions and retention asked for, and lists it", async () => {
    const file = join(kafka.options.dir, "pool.json");
    writeFileSync(file, JSON.stringify({ brokers: kafka.brokers }));
    const where = ["--kafka-settings", file];
    expect((await topics(["list", ...where])).text).toContain("no topic of Edgeplane yet");
    const more = ["--partitions", "5", "--retention-ms", "3600000"];
    const made = await topics([
      "create",
      ...where,
      "--lanes",
      "default,fast",
      "--published",
      "usage,jobs.dlq",
      ...more,
    ]);
    expect(made).toMatchObject({ code: 0 });
    expect(made.text.match(/created, 5 partitions/g)).toHaveLength(8);
    const env = { BRIDGE_KAFKA_BROKERS: kafka.brokers.join(), BRIDGE_KAFKA_USERS: JSON.stringify([all]) };
    const again = await topics(["create", "--lanes", "fast"], env);
    expect(again.text.match(/there already, 5 partitions/g)).toHaveLength(3);
    expect((await topics(["list"], env)).text.trim().split("\n").toSorted()).toEqual(
      [
        ...["default", "fast"].flatMap((lane) => ["high", "low", "normal"].map((name) => `jobs.${lane}.${name}`)),
        ...["jobs.dlq", "usage"],
      ]
        .map((topic) => `${topic}\t5 partitions`)
        .toSorted(),
    );
    const admin = new Admin({ clientId: "test", bootstrapBrokers: kafka.brokers });
    const resource = {
      resourceType: ConfigResourceTypes.TOPIC,
      resourceName: "usage",
      configurationKeys: ["retention.ms"],
    };
    const [described] = await admin.describeConfigs({ resources: [resource] });
    expect(described?.configs.find(({ name }) => name === "retention.ms")?.value).toBe("3600000");
    await admin.close();
  }, 60_000);

  it("says in one line what is wrong", async () => {
    const wrong = async (...args: string[]) => {
      const { code, text } = await topics(args);
      return `${code} ${text.trim()}`;
    };
    expect((await topics(["--help"])).text).toContain("--retention-ms");
    expect(await wrong()).toMatch(/^2 topics: say list or create/);
    expect(await wrong("create", "--lanes", "No Lane")).toMatch(/^2 topics: --lanes is wrong/);
    expect(await wrong("create", "--published", "dlq")).toMatch(/^2 topics: --published is wrong: one of results/);
    expect(await wrong("create", "--what")).toMatch(/^2 topics: .*--what/);
    expect(await wrong("list")).toMatch(/^2 topics: .*neither kafka nor redis/s);
    const env = { BRIDGE_KAFKA_BROKERS: "127.0.0.1:1", BRIDGE_KAFKA_USERS: JSON.stringify([all]) };
    const away = await topics(["list"], env);
    expect(away.code).toBe(1);
    expect(away.text).toMatch(/can't be reached/);
  }, 60_000);
});
