/**
 * docs/bridge.md and docs/move-the-log.md as a reader follows them: each page's snippets in one shell, top to bottom,
 * over a real Kafka, a real Redis and the stack of `npm start`. Only addresses are others, so that nothing of the
 * machine's own is in the way.
 */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { helloThrough } from "../../../scripts/lib/hello.ts";
import { startStack } from "../../../scripts/lib/stack.ts";
import type { Stack } from "../../../scripts/lib/stack.ts";
import { root, snippetsOf, strictCurl } from "../../clients/snippets.ts";
import { hasJava, hasRedis, startKafka, startRedis } from "./engines.ts";
import type { TestKafka, TestRedis } from "./engines.ts";
import { freePort } from "./ports.ts";

/** Beside it the page goes on: in the reader's other terminal. */
const SERVES = /^npm run bridge$/m;

describe.runIf(hasJava && hasRedis)("the pages on the bridge", () => {
  let dir: string;
  let kafka: TestKafka;
  let redis: TestRedis;
  let stack: Stack;
  let bridgeUrl: string;
  const groups: number[] = [];

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "edgeplane-pages-"));
    const models = join(dir, "models");
    cpSync(join(root, "examples/hello-world"), join(models, "hello-world"), { recursive: true });
    bridgeUrl = `http://127.0.0.1:${await freePort()}`;
    [kafka, redis] = await Promise.all([startKafka(), startRedis()]);
    const state = { stateDir: join(dir, "state"), models, operatorOrigins: [bridgeUrl], offline: true };
    stack = await startStack({ ...state, say: () => {} });
    await helloThrough(stack);
    mkdirSync(join(dir, ".edgeplane"));
    writeFileSync(join(dir, ".edgeplane/dev.json"), JSON.stringify({ adminKey: stack.adminKey }));
  }, 240_000);

  afterAll(async () => {
    for (const group of groups) {
      try {
        process.kill(-group, "SIGTERM");
      } catch {
        // All of it has left.
      }
    }
    await stack?.stop();
    await redis?.stop();
    await kafka?.stop();
    rmSync(dir, { recursive: true, force: true });
  }, 60_000);

  /** What the page's shell prints, after a line for each snippet. */
  async function follow(page: string, cwd: string): Promise<string> {
    const bridge = `npm run bridge >"${join(dir, "bridge.log")}" 2>&1 &\nuntil curl -so /dev/null ${bridgeUrl}/healthz; do sleep 0.2; done`;
    const script = snippetsOf(page)
      .map(({ line, code }) => `echo "── ${page}:${line}"\n${code}`)
      .join("\n")
      .replaceAll("broker-1:9092,broker-2:9092", kafka.brokers.join())
      .replaceAll("redis://localhost:6379", redis.url)
      .replaceAll("http://127.0.0.1:8790", bridgeUrl)
      .replaceAll("http://127.0.0.1:8787", stack.url)
      .replace(SERVES, bridge);
    const path = [join(dir, "bin"), process.env["PATH"]].join(delimiter);
    const env = { ...process.env, PATH: path, BRIDGE_PORT: new URL(bridgeUrl).port, EDGEPLANE_SKIP_INSTALL: "1" };
    const shell = spawn("bash", ["-euo", "pipefail", "-c", script], { cwd, env, detached: true });
    if (shell.pid !== undefined) groups.push(shell.pid);
    let output = "";
    for (const stream of [shell.stdout, shell.stderr]) stream.on("data", (part: Buffer) => (output += part.toString()));
    const code = await new Promise<number | null>((resolve) => shell.once("exit", resolve));
    expect(code, output).toBe(0);
    return output;
  }

  it("work in their order: a bridge, and the log moved to it and back", async () => {
    strictCurl(dir);
    const bridge = await follow("docs/bridge.md", root);
    expect(bridge).toContain("kafka answers");
    expect(bridge).toContain("redis answers");
    expect(bridge).toContain('{"result":"OK"}');
    expect(bridge).toMatch(/jobs\.fast\.low\t8 partitions/);
    const moved = await follow("docs/move-the-log.md", dir);
    expect(moved.match(/"moved":true/g)).toHaveLength(2);
    expect(moved).toMatch(/"epoch":1,"driver":"upstash",.*"problems":\[\],"unread":\[\]\}/);
    expect(moved).toMatch(/"epoch":2,"driver":"embedded"/);
  }, 120_000);
});
