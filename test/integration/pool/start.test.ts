/** What an operator sees at start: one clear line, and the right exit code. */
import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startFakeEdge } from "./fake-edge.ts";
import { startFixture } from "./fixture.ts";
import { models } from "./models.ts";
import { makeHome, startPool } from "./pool-process.ts";

const MAIN = fileURLToPath(new URL("../../../gpu-pool/main.ts", import.meta.url));

function run(args: string[], env: Record<string, string> = {}): { code: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env["PATH"], EDGEPLANE_PREEMPTION: "off", ...env },
    encoding: "utf8",
    timeout: 20_000,
  });
  return { code: status, text: stdout + stderr };
}

test("tells its settings, and what is wrong with them, in one line", () => {
  expect(run(["--help"]).text).toContain("EDGEPLANE_POOL_TOKEN");
  for (const [args, expected] of [
    [[], "--url (or EDGEPLANE_URL) is missing"],
    [["--url", "ftp://x", "--token", "t"], "--url (or EDGEPLANE_URL) is wrong"],
    [["--url", "http://127.0.0.1:1"], "--token (or EDGEPLANE_POOL_TOKEN) is missing"],
    [["--url", "http://127.0.0.1:1", "--token", "t", "--ahead-batches", "soon"], "--ahead-batches"],
    [["--nonsense"], "--nonsense"],
    [
      [
        "--url",
        "http://127.0.0.1:1",
        "--token",
        "t",
        "--models",
        "/nowhere",
        "--state-dir",
        "/tmp/edgeplane-pool-none",
      ],
      "--models /nowhere",
    ],
  ] as const) {
    const { code, text } = run([...args]);
    expect({ code, lines: text.trim().split("\n").length }).toEqual({ code: 2, lines: 1 });
    expect(text).toContain(expected);
  }
});

test("a wrong token, and an address without an Edgeplane, end it with one line", async () => {
  const edge = await startFakeEdge();
  const other = createServer((_request, reply) => reply.writeHead(404).end("nginx"));
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const address = other.address();
  const home = makeHome({ single: models.single });
  try {
    const wrongToken = startPool(home, edge.url, "wrong", ["--log-level", "silent"]);
    expect(await wrongToken.exited).toBe(2);
    expect(wrongToken.output()).toBe(
      `gpu-pool: ${edge.url} does not know this token: check --token (EDGEPLANE_POOL_TOKEN)\n`,
    );
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const wrongUrl = startPool(home, `http://127.0.0.1:${port}`, "t", ["--log-level", "silent"]);
    expect(await wrongUrl.exited).toBe(2);
    expect(wrongUrl.output()).toMatch(/^gpu-pool: .* is not an Edgeplane \(it answered 404.*--url.*\n$/);
  } finally {
    other.close();
    await edge.close();
    home.remove();
  }
});

test("an edge that is down is waited for, with one line a change", async () => {
  const edge = await startFakeEdge();
  await edge.goAway();
  const home = makeHome({ single: models.single });
  const pool = startPool(home, edge.url, edge.token);
  try {
    await expect.poll(() => pool.output()).toContain("can't be reached");
    // In its place somebody who hangs up, and counts the tries.
    let tries = 0;
    const nobody = createTcpServer((socket) => {
      tries += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve) => nobody.listen(Number(new URL(edge.url).port), "127.0.0.1", resolve));
    await expect.poll(() => tries).toBeGreaterThan(3);
    expect(pool.output().match(/can't be reached/g)).toHaveLength(1);
    await new Promise((resolve) => nobody.close(resolve));
    await edge.comeBack();
    await edge.until(() => edge.hellos.length > 0, 2000);
    await expect.poll(() => pool.output()).toContain("connected to the edge");
  } finally {
    await pool.kill("SIGKILL");
    await edge.close();
    home.remove();
  }
});

test("a token that registers no models is told of once, and serves on", async () => {
  const edge = await startFakeEdge();
  edge.behaviour.tokenOk = "registers no models";
  const home = makeHome({ single: models.single });
  const pool = startPool(home, edge.url, edge.token);
  try {
    await expect.poll(() => pool.output()).toContain("may_register_models");
    await edge.goAway();
    await edge.comeBack();
    await edge.until(() => edge.hellos.length > 1);
    await expect.poll(() => pool.output().match(/connected to the edge/g)?.length).toBe(2);
    expect(pool.output().match(/may_register_models/g)).toHaveLength(1);
  } finally {
    await pool.kill("SIGKILL");
    await edge.close();
    home.remove();
  }
});

test("two pools don't share a state folder", async () => {
  await using fixture = await startFixture(["single"]);
  const second = startPool(fixture.home, fixture.edge.url, fixture.edge.token, []);
  expect(await second.exited).toBe(2);
  expect(second.output()).toMatch(/another pool \(process \d+\) uses/);
});

test("keeps its name over restarts, and says no prompt in its log", async () => {
  await using fixture = await startFixture(["single"], ["--log-level", "trace"]);
  const { edge } = fixture;
  const tracked = edge.submit(await fixture.ref("single"), { do: "a secret prompt" });
  await edge.until(() => tracked.terminal !== null);
  await fixture.pool.kill("SIGTERM");
  expect(fixture.pool.output()).not.toContain("a secret prompt");
  expect(fixture.pool.output()).not.toContain(edge.token);
  fixture.restart();
  await edge.until(() => edge.hellos.at(-1)?.session !== edge.hellos[0]?.session);
  expect(edge.hellos.at(-1)?.pool).toBe(edge.hellos[0]?.pool);
});
