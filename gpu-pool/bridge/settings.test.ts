import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadSettings, variables } from "./settings.ts";

const users = [{ username: "u", password: "a-password" }];
const kafkaEnv = { BRIDGE_KAFKA_BROKERS: "a:9092, b:9092", BRIDGE_KAFKA_USERS: JSON.stringify(users) };

describe("the bridge's settings", () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "bridge-settings-"));
  });
  afterAll(async () => rm(dir, { recursive: true, force: true }));

  async function file(content: string): Promise<string> {
    const path = join(dir, "settings.json");
    await writeFile(path, content);
    return path;
  }

  const fault = async (path: string | undefined, env: Record<string, string>) =>
    loadSettings(path, env).then(
      () => "none",
      (error: unknown) => String(error),
    );

  it("may be a file such as docs/bridge.md shows", async () => {
    const page = await readFile(join(import.meta.dirname, "../../docs/bridge.md"), "utf8");
    const [, example = ""] = /^```json\n([\s\S]*?)^```$/m.exec(page) ?? [];
    expect(await loadSettings(await file(example), {})).toMatchObject({
      kafka: { brokers: ["broker-1:9092", "broker-2:9092"], topics: { partitions: 8 } },
      redis: { tokens: [{ keyPrefix: "edgeplane:" }] },
    });
  });

  it("come from the environment alone", async () => {
    const settings = await loadSettings(undefined, {
      ...kafkaEnv,
      BRIDGE_PORT: "99",
      BRIDGE_KAFKA_TOPICS_CREATE: "true",
    });
    expect(settings).toMatchObject({
      port: 99,
      kafka: { brokers: ["a:9092", "b:9092"], topics: { create: true, partitions: 3 } },
    });
    expect(settings.kafka?.users).toEqual([
      { username: "u", password: "a-password", produce: [], consume: [], groups: [""] },
    ]);
  });

  it("come from a file, and the environment wins", async () => {
    const path = await file(JSON.stringify({ port: 1, kafka: { brokers: ["x:1"], users, tls: true } }));
    const settings = await loadSettings(path, { BRIDGE_KAFKA_BROKERS: "y:2", BRIDGE_KAFKA_TLS_CA: "/ca.pem" });
    expect(settings).toMatchObject({ port: 1, kafka: { brokers: ["y:2"], tls: { ca: "/ca.pem" } } });
  });

  it("name every fault by its path, and show no value", async () => {
    const env = {
      BRIDGE_PORT: "many",
      BRIDGE_KAFKA_BROKERS: "no-port",
      BRIDGE_KAFKA_USERS: '[{"username":"u","password":"secret!"}]',
    };
    const message = await fault(undefined, env);
    expect(message).toMatch(/port: .*\n/);
    expect(message).toMatch(/kafka\.brokers\.0: must be host:port/);
    expect(message).toMatch(/kafka\.users\.0\.password: at least 8 characters/);
    expect(message).not.toMatch(/secret!/);
  });

  it.each([
    [undefined, {}, /neither kafka nor redis/],
    [undefined, { BRIDGE_KAFKA_USERS: "{" }, /BRIDGE_KAFKA_USERS must be JSON/],
    [undefined, { BRIDGE_REDIS_URL: "http://x", BRIDGE_REDIS_TOKENS: "[]" }, /redis\.url/],
    [
      undefined,
      { BRIDGE_REDIS_URL: "redis://x", BRIDGE_REDIS_TOKENS: '[{"token":"0123456789abcdef","keyPrefix":"a*"}]' },
      /keyPrefix: no \*/,
    ],
    ["/does/not/exist.json", {}, /Can't read the settings file/],
  ])("refuse %s with %o", async (path, env, expected) => {
    expect(await fault(path, env)).toMatch(expected);
  });

  it("refuse unknown names in a file, and what is no object", async () => {
    expect(await fault(await file(JSON.stringify({ kafka: { brokers: ["a:1"], users, typo: 1 } })), {})).toMatch(
      /kafka: .*typo/,
    );
    expect(await fault(await file("[]"), {})).toMatch(/must be a JSON object/);
  });

  it("have a variable of their own, each", () => {
    expect(new Set(variables.map(({ name }) => name)).size).toBe(variables.length);
  });
});
