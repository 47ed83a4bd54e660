/**
 * The edge process with a Worker of a few lines: its direct socket, what its Worker may reach, and its return from a
 * crash.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startStopwatch } from "../../test/stalls.ts";
import { createEdge } from "./edge.ts";
import type { Edge } from "./edge.ts";
import type { EdgeOptions } from "./edge-options.ts";
import { freePort } from "./preflight.ts";
import { startTimeOf } from "./process-info.ts";

/** What a restart goes through: this process, the edge and workerd. */
const PROCESSES = 3;

const script = `
  import { DurableObject } from "cloudflare:workers";
  export class Counter extends DurableObject {
    add() {
      this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS n (x)");
      this.ctx.storage.sql.exec("INSERT INTO n VALUES (1)");
      return this.ctx.storage.sql.exec("SELECT count(*) AS n FROM n").one().n;
    }
  }
  export default {
    async fetch(request, env) {
      const target = new URL(request.url).searchParams.get("target");
      if (target === null) return new Response(String(await env.COUNTER.getByName("one").add()));
      try {
        return new Response(await (await fetch(target)).text());
      } catch {
        return new Response("blocked");
      }
    },
  };`;

const dir = mkdtempSync(join(tmpdir(), "edgeplane-edge-"));
const neighbour = createServer((_, response) => response.end("reached"));
let neighbourPort = 0;

beforeAll(async () => {
  await new Promise<void>((resolve) => neighbour.listen(0, "127.0.0.1", resolve));
  const address = neighbour.address();
  neighbourPort = typeof address === "object" && address !== null ? address.port : 0;
});
afterAll(() => {
  neighbour.close();
  rmSync(dir, { recursive: true, force: true });
});

async function startEdge(allowLoopback: boolean): Promise<{ edge: Edge; url: string }> {
  const port = await freePort(0);
  const options: EdgeOptions = {
    type: "start",
    worker: {
      ...{ name: "test", compatibilityDate: "2026-11-02", modules: true, script },
      d1Databases: { DB: { id: "db" } },
      durableObjects: { COUNTER: { className: "Counter", useSQLite: true } },
    },
    migrations: [{ name: "0001_one.sql", statements: ["CREATE TABLE t (x)"] }],
    port,
    statePath: join(dir, String(allowLoopback)),
    bindings: {},
    allowLoopback,
    offline: false,
    operatorOrigins: [],
  };
  const edge = createEdge(
    Promise.resolve(options),
    () => {},
    () => {},
  );
  await edge.start();
  return { edge, url: `http://127.0.0.1:${port}` };
}

const ask = async (url: string, target: string): Promise<string> =>
  (await fetch(`${url}/?target=${encodeURIComponent(target)}`)).text();

describe("as it comes", () => {
  let edge: Edge;
  let url = "";
  beforeAll(async () => {
    ({ edge, url } = await startEdge(false));
  }, 60_000);
  afterAll(() => edge.stop());

  test.each(["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"])(
    "a request to %s on this machine is blocked by the network",
    async (host) => {
      expect(await ask(url, `http://${host}:${neighbourPort}/`)).toBe("blocked");
    },
  );

  test.each(["10.0.0.1", "192.168.1.1", "169.254.169.254", "172.16.0.1", "100.64.0.1", "[fd00::1]"])(
    "a request to %s is blocked by the network",
    async (host) => {
      expect(await ask(url, `http://${host}/`)).toBe("blocked");
    },
  );

  test("a killed workerd is back within 2 s, on the same port, with its rows", async () => {
    const before = Number(await (await fetch(url)).text());
    const killed = edge.pids().workerd ?? 0;
    using watch = startStopwatch(PROCESSES);
    edge.killWorkerd();
    let after = Number.NaN;
    while (Number.isNaN(after) && watch.ms() < 5000) {
      after = await fetch(url).then(
        async (response) => Number(await response.text()),
        () => Number.NaN,
      );
    }
    expect(after).toBe(before + 1);
    expect(watch.ms()).toBeLessThan(2000);
    expect(edge.pids().workerd).not.toBe(killed);
    expect(startTimeOf(killed)).toBeNull();
  });

  test("a killed edge process takes its workerd along and is started again", async () => {
    const { edge: edgePid, workerd } = edge.pids();
    const before = Number(await (await fetch(url)).text());
    edge.killEdge();
    await expect.poll(() => startTimeOf(workerd ?? 0)).toBeNull();
    await expect
      .poll(() =>
        fetch(url).then(
          async (response) => Number(await response.text()),
          () => 0,
        ),
      )
      .toBeGreaterThan(before);
    await expect.poll(() => edge.pids().edge).not.toBe(edgePid);
  });
});

describe("with the loopback switch", () => {
  let edge: Edge;
  let url = "";
  beforeAll(async () => {
    ({ edge, url } = await startEdge(true));
  }, 60_000);
  afterAll(() => edge.stop());

  test.each(["127.0.0.1", "localhost"])("a request to %s arrives", async (host) => {
    expect(await ask(url, `http://${host}:${neighbourPort}/`)).toBe("reached");
  });

  test("a request to a private address is blocked all the same", async () => {
    expect(await ask(url, "http://10.0.0.1/")).toBe("blocked");
  });
});
