/** The Kafka door over a real Kafka: rights, limits, faults, and ways to reach the cluster. */
import { Kafka } from "@upstash/kafka";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { SASL_PASSWORDS } from "../../../scripts/lib/kafka/properties.ts";
import { ROOM_HEADER } from "../../../src/contract/claim.ts";
import { basic, bridgeFor, hasJava } from "./engines.ts";
import { all, pool, ErrorSchema, saying, matching, useKafkaDoor } from "./fixture.ts";

describe.runIf(hasJava)("Kafka door: borders", () => {
  const { name, engine, url, client, call, refusal } = useKafkaDoor();

  it("refuses what a user has no right to, and shows it only its own topics", async () => {
    const [job, out, other] = [name("jobs."), name("out."), name("other.")];
    await client()
      .producer()
      .produceMany([job, out, other].map((topic) => ({ topic, value: "v" })));
    expect(await refusal("produce", { user: pool, body: { topic: job, value: "v" } })).toMatchObject({
      status: 403,
      code: "topic_forbidden",
    });
    expect(await refusal(`consume/lane.x/i`, { user: pool, body: { topic: out } })).toMatchObject({
      status: 403,
      code: "topic_forbidden",
    });
    expect(await refusal(`consume/other/i`, { user: pool, body: { topic: job } })).toMatchObject({
      status: 403,
      code: "forbidden",
    });
    expect((await call("produce", { user: pool, body: { topic: out, value: "v" } })).status).toBe(200);
    const { reply } = await call("topics", { user: pool, method: "GET" });
    const names = Object.keys(z.record(z.string(), z.number()).parse(reply));
    expect(names).toContain(job);
    expect(names).not.toContain(other);
    const wrong = { ...all, password: "wrong-password" };
    expect(await refusal("topics", { user: wrong, method: "GET" })).toMatchObject({
      status: 401,
      code: "unauthenticated",
    });
  });

  it("names what is wrong with a request, as JSON, never with a 5xx", async () => {
    const topic = name("e.");
    await client().producer().produce(topic, "v");
    expect(await refusal("produce", { body: "{" })).toMatchObject({ status: 400, code: "invalid_json" });
    expect(await refusal("produce", { body: { topic, value: 7 } })).toMatchObject({
      status: 400,
      error: saying("value"),
    });
    expect(await refusal("produce", { body: [{ topic, value: "v" }, { topic }] })).toMatchObject({
      error: saying("[1].value"),
    });
    expect(await refusal("produce", { body: { topic, value: "v", partition: 9 } })).toMatchObject({
      status: 404,
      error: saying("0 to 3"),
    });
    expect(await refusal("produce", { body: { topic: "a b", value: "v" } })).toMatchObject({
      status: 400,
      error: saying('"a b"'),
    });
    expect(await refusal("fetch", { body: { topic, partition: 0, offset: 99 } })).toMatchObject({
      status: 400,
      code: "offset_out_of_range",
    });
    expect(await refusal(`consume/g/i`, { body: {} })).toMatchObject({ status: 400 });
    expect(await refusal(`consume/g`, { body: { topic } })).toMatchObject({ status: 400 });
    expect(await refusal(`consume/g/i`, { body: { topic }, headers: { [ROOM_HEADER]: "many" } })).toMatchObject({
      status: 400,
      error: saying("room"),
    });
    expect(await refusal("commit/nobody/here", {})).toMatchObject({ status: 404, code: "unknown_member" });
    expect(await refusal("offsets/yesterday", { body: { topic, partition: 0 } })).toMatchObject({ status: 400 });
    expect(await refusal("nothing", {})).toMatchObject({ status: 404 });
    expect(await refusal("produce", { body: { topic, value: "x".repeat(2_100_000) } })).toMatchObject({ status: 413 });
    expect(await refusal("produce", { method: "PUT", body: {} })).toMatchObject({ status: 405 });
  });

  it("tells the lag by topic, and its health", async () => {
    const topic = name("lag.");
    await client()
      .producer()
      .produceMany(Array.from({ length: 9 }, () => ({ topic, value: "v" })));
    const group = name("g");
    await client()
      .consumer()
      .consume({
        consumerGroupId: group,
        instanceId: "i",
        topics: [topic],
        autoCommit: false,
        autoOffsetReset: "earliest",
        timeout: 3000,
      });
    const metrics = await (await fetch(`${url()}/metrics`)).text();
    expect(metrics).toContain(`edgeplane_bridge_consumer_lag{group="${group}",topic="${topic}"} 9`);
    expect(await (await fetch(`${url()}/healthz`)).json()).toEqual({ status: "ok", kafka: "ok", redis: "off" });
  });

  it("gives wrong address, wrong password, missing rights and missing topic each their own message", async () => {
    const told = async (settings: object, topic = "t") => {
      const other = await bridgeFor({ kafka: { users: [all], limits: { produceTimeoutMs: 20_000 }, ...settings } });
      try {
        const response = await fetch(`${other.url}/kafka/produce`, {
          method: "POST",
          headers: { authorization: basic(all.username, all.password) },
          body: JSON.stringify({ topic, value: "v" }),
        });
        const error = ErrorSchema.parse(await response.json());
        return `${error.status} ${error.code}: ${error.error}`;
      } finally {
        await other.close();
      }
    };
    const topic = name("known.");
    await client().producer().produce(topic, "v");
    const sasl = (password: string, username = "admin") => ({
      brokers: [engine().saslBroker],
      sasl: { mechanism: "PLAIN", username, password },
    });
    const answers = await Promise.all([
      told({ brokers: ["127.0.0.1:1"] }),
      told(sasl("wrong"), topic),
      told(sasl(SASL_PASSWORDS.guest, "guest"), topic),
      told(sasl(SASL_PASSWORDS.admin), name("missing.")),
      told({ brokers: [engine().tlsBroker], tls: true }, topic),
    ]);
    expect(answers).toEqual([
      matching(/^503 unavailable: The cluster can't be reached.*ECONNREFUSED/),
      matching(/^503 unavailable: The cluster refused the bridge's user or password/),
      matching(/^403 topic_forbidden: The cluster refuses the bridge's own user this topic/),
      matching(/^404 topic_not_found: The cluster has no topic "missing\./),
      matching(/^503 unavailable: No TLS connection to the cluster/),
    ]);
  }, 90_000);

  it("reaches the cluster through TLS and through SASL", async () => {
    for (const settings of [
      { brokers: [engine().tlsBroker], tls: { ca: `${engine().options.dir}/ca.pem` } },
      {
        brokers: [engine().saslBroker],
        sasl: { mechanism: "PLAIN", username: "admin", password: SASL_PASSWORDS.admin },
      },
    ]) {
      const other = await bridgeFor({
        kafka: { users: [all], topics: { create: true, partitions: 1, replicas: 1 }, ...settings },
      });
      const through = new Kafka({ url: `${other.url}/kafka`, username: all.username, password: all.password });
      const topic = name("secure.");
      await through.producer().produce(topic, "v");
      const ids = { consumerGroupId: name("g"), instanceId: "i", topics: [topic] };
      expect(await through.consumer().consume({ ...ids, autoOffsetReset: "earliest", timeout: 5000 })).toMatchObject([
        { value: "v" },
      ]);
      await other.close();
    }
  }, 60_000);
});
