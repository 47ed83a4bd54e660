/** `pools` and `topics` against a gateway, a pool and a log that answer as these do, also as other releases do. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { useGateway } from "../test-gateway.ts";
import { runCli } from "../test-io.ts";
import type { Ran } from "../test-io.ts";

const home = mkdtempSync(join(tmpdir(), "edgeplane-pools-"));
const gateway = useGateway();
const { answers, asked } = gateway;

afterAll(() => rmSync(home, { recursive: true, force: true }));

const cli = async (args: string[], env: Record<string, string> = {}): Promise<Ran> =>
  runCli(args, { env: { HOME: home, EDGEPLANE_URL: gateway.url, EDGEPLANE_ADMIN_KEY: "adm", ...env }, cwd: home });

const served = { model: "acme/echo", version: "a".repeat(64), room: 4, starts_now: 2, ready_in_ms: 0, problem: null };
const pool = {
  ...{ session: "s1", name: "box-1", token: { id: "t", name: "rack" }, version: "0.1.0", state: "connected" },
  ...{ is_heard: true, connected_at: new Date().toISOString(), seen_at: new Date().toISOString(), lanes: ["default"] },
  devices: ["0", "1"].map((id) => ({ id, kind: "cuda", name: "NVIDIA H200", memory_bytes: 150_000_000_000 })),
  ...{ isolation: "user", models: [served] },
};
const sick = {
  ...pool,
  ...{ name: "box-2", is_heard: false },
  models: [served, { ...served, version: "b".repeat(64), room: 0, problem: "CUDA error: no device\nat line 1" }],
};

test("a GPU that is fenced is a problem of its pool, also to doctor", async () => {
  const problem = "GPU 1 is missing: nvidia-smi does not name it any more";
  const devices = pool.devices.map((device, index) => ({ ...device, problem: index === 1 ? problem : null }));
  answers.set("GET /", { name: "edgeplane" });
  answers.set("GET /healthz", { status: "ok" });
  answers.set("GET /admin/v1/accounts", { results: [] });
  answers.set("GET /admin/v1/pools", { results: [{ ...pool, devices }], next_cursor: null });
  const { code, stdout, stderr } = await cli(["pools"]);
  expect([code, stderr.trim()]).toEqual([0, `box-1: ${problem}`]);
  expect(stdout).toMatch(/box-1 +connected .* 1 +4 +1 +\d s ago\n/);
  expect((await cli(["doctor"])).stdout).toContain(`box-1: ${problem}`);
});

test("pools are listed with their devices, room and problems, all pages of them", async () => {
  answers.set("GET /admin/v1/pools", { results: [pool, { ...sick, state: "away" }], next_cursor: null });
  const { code, stdout, stderr } = await cli(["pools"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^POOL +STATE +LANES +DEVICES +ISOLATION +MODELS +ROOM +PROBLEMS +CONNECTED\n/);
  expect(stdout).toMatch(/box-1 +connected +default +2× NVIDIA H200 \(150 GB\) +user +1 +4 +0 +\d s ago\n/);
  expect(stdout).toMatch(/box-2 +away .* 2 +4 +2 +\d s ago\n/);
  expect(stderr).toContain("box-2: its channel is down, since");
  expect(stderr).toContain(`box-2: can't set acme/echo:${"b".repeat(12)} up: CUDA error: no device\n`);
  expect(asked[0]?.url).toBe("/admin/v1/pools?room=true&limit=100");
  const models = await cli(["pools", "list", "--models"]);
  expect(models.stdout).toMatch(/box-1 +acme\/echo +a{12} +4 +2 +now +–\n/);
  expect(JSON.parse((await cli(["pools", "--json"])).stdout)).toMatchObject([{ name: "box-1" }, { name: "box-2" }]);
  await cli(["pools", "list", "--ended"]);
  expect(asked.at(-1)?.url).toContain("ended=true");
});

test("a pool is asked itself: what it says is shown as tables, and as it is with --json", async () => {
  const instance = {
    ...{ name: "acme/echo#0", state: "busy", devices: ["0"], deviceBytes: 2_500_000_000, restarts: 1, pid: 7 },
    ...{ lastDeath: "it exited with code 7", runningBatches: 1, freeSlots: 0 },
  };
  const status = {
    ...{ pool: "box-1", session: "s1", state: "serving", edge: "connected", lanes: ["default", "fast"], problem: null },
    isolation: { kind: "user", why: null },
    memoryCaps: { kind: "watchdog", why: "this host has no cgroup v2" },
    cudaVersion: "12.4",
    preemption: { cloud: "aws", notice: { withinMs: 30_000, why: "spot interruption" } },
    pressure: {
      disk: { freeBytes: 5_000_000_000, problem: "disk: less than 8 GB are free" },
      ...{ inputs: { bytes: 0, problem: null }, uploads: { bytes: 1500, problem: null } },
    },
    delivery: { undelivered: 3, spooled: 1 },
    environments: {
      ...{ mayStore: true, unpacked: 2, stored: 1, waiting: 1, progress: "sent 40 % of 900 MB" },
      problem: "a chunk is broken",
      onlyHere: "build.run may write anywhere on the host",
    },
    devices: [
      {
        ...{ id: "0", name: "NVIDIA H200", memoryBytes: 150_000_000_000, usedBytes: 3_000_000_000 },
        ...{ utilizationPercent: 97, temperatureCelsius: 61, powerWatts: 512.4, problem: "ECC errors" },
      },
    ],
    models: [
      {
        ...{ model: "acme/echo", version: "a".repeat(64), state: "busy", lane: "default", waiting: 5, held: 6 },
        ...{ problem: null, pausedBy: null, runMs: 12.6, instances: [instance] },
        rates: { grantedPerSecond: 1.25, endedPerSecond: 1 },
      },
    ],
  };
  answers.set("GET /status", status);
  const { code, stdout } = await cli(["pools", "status", "--address", gateway.url]);
  expect(code).toBe(0);
  for (const line of [
    /^box-1: serving, the edge is connected; lanes default, fast$/m,
    /^memory of models: watchdog \(this host has no cgroup v2\)$/m,
    /^the driver runs CUDA up to 12\.4$/m,
    /^disk: 5\.0 GB free; input files 0 B, uploads 1\.5 kB$/m,
    /^to deliver: 3 claims, 1 results on disk$/m,
    /^environments: 2 unpacked, 1 stored for other hosts, 1 to store \(sent 40 % of 900 MB\); one is built on each host: build.run may write anywhere on the host; ! a chunk is broken$/m,
    /^! it is taken away within 30 s: spot interruption$/m,
    /^! disk: less than 8 GB are free$/m,
    /^! device 0: ECC errors$/m,
    /^0 +NVIDIA H200 +150 GB +3\.0 GB +97 % +61 °C +512 W$/m,
    /^acme\/echo +a{12} +default +busy +5 +6 +13 ms +1\.\d +1\.0 +–$/m,
    /^acme\/echo#0 +busy +0 +2\.5 GB +1 +0 +7 +1 +it exited with code 7$/m,
  ])
    expect(stdout).toMatch(line);
  expect(
    JSON.parse((await cli(["pools", "status", "--json"], { EDGEPLANE_POOL_ADDRESS: gateway.url })).stdout),
  ).toEqual(status);
});

test("where no pool answers, or something else does, one line says so", async () => {
  const refused = await cli(["pools", "status", "--address", "http://127.0.0.1:9"]);
  expect([refused.code, refused.stderr]).toEqual([
    5,
    expect.stringContaining("no pool answers at http://127.0.0.1:9/status"),
  ]);
  expect((await cli(["pools", "status", "--address", gateway.url])).stderr).toContain("answered 404");
  answers.set("GET /status", { name: "another server" });
  expect((await cli(["pools", "status", "--address", gateway.url])).stderr).toContain(
    "something else than a pool's status",
  );
  expect((await cli(["pools", "status", "--address", "nowhere"])).code).toBe(2);
  expect((await cli(["pools"])).code).toBe(4);
});

test("doctor names sick pools and models, and leaves that out where the gateway is of another release", async () => {
  answers.set("GET /", { name: "edgeplane" });
  answers.set("GET /healthz", { status: "ok" });
  answers.set("GET /admin/v1/accounts", { results: [] });
  answers.set("GET /admin/v1/pools", { results: [pool], next_cursor: null });
  expect((await cli(["doctor"])).stdout).toContain("✓ pools and their models are well: 1 connected, with 1 models");
  answers.set("GET /admin/v1/pools", { results: [pool, sick], next_cursor: null });
  const bad = await cli(["doctor"]);
  expect(bad.code).toBe(1);
  expect(bad.stdout).toContain("✗ pools and their models are well: box-2: it is connected, and states no room");
  expect(bad.stdout).toContain(`can't set acme/echo:${"b".repeat(12)} up: CUDA error`);
  const [good, broken] = sick.models;
  const deleted = { ...pool, models: [good, { ...broken, is_wanted: false }] };
  answers.set("GET /admin/v1/pools", { results: [deleted], next_cursor: null });
  expect((await cli(["doctor"])).stdout).toContain("✓ pools and their models are well");
  answers.set("GET /admin/v1/pools", { results: [], next_cursor: null });
  expect((await cli(["doctor"])).stdout).toContain("✗ pools and their models are well: none is connected");
  answers.delete("GET /admin/v1/pools");
  expect((await cli(["doctor"])).stdout).toContain("– pools and their models are well");
});

test("topics tell how far each group is, of each partition", async () => {
  answers.set("GET /kafka/topics", { usage: 2, results: 1 });
  const reader = { name: "c1", topics: [{ topic: "usage", partitions: [0] }] };
  answers.set("GET /kafka/consumers", [{ name: "billing", instances: [reader] }]);
  const places = (...offsets: number[]) => offsets.map((offset, partition) => ({ topic: "usage", partition, offset }));
  answers.set("POST /kafka/offsets/earliest", places(10, 0));
  answers.set("POST /kafka/offsets/latest", places(30, 5));
  answers.set("POST /kafka/committed/billing/edgeplane-command", places(25, -1));
  answers.set("POST /kafka/committed/old%20one/edgeplane-command", places(3, 5));
  const user = { EDGEPLANE_KAFKA_USERNAME: "etl", EDGEPLANE_KAFKA_PASSWORD: "secret-1" };
  const listed = await cli(["topics"], user);
  expect(listed.stdout).toMatch(/^TOPIC +PARTITIONS +GROUPS\nresults +1\nusage +2 +billing\n$/);
  expect(asked[0]?.headers.authorization).toBe(`Basic ${Buffer.from("etl:secret-1").toString("base64")}`);
  const { stdout } = await cli(["topics", "describe", "usage", "--group", "old one"], user);
  expect(
    stdout
      .split("\n")
      .map((line) => line.split(/ {2,}/))
      .slice(1, 5),
  ).toEqual([
    ["0", "10", "30", "billing", "25", "5", "c1"],
    ["0", "10", "30", "old one", "3", "20", "–"],
    ["1", "0", "5", "billing", "–", "5", "–"],
    ["1", "0", "5", "old one", "5", "0", "–"],
  ]);
  expect((await cli(["topics", "describe", "nothing"], user)).code).toBe(4);
  const nobody = await cli(["topics"]);
  expect([nobody.code, nobody.stderr]).toEqual([3, expect.stringContaining("no user of the log is named")]);
  answers.delete("GET /kafka/topics");
  expect((await cli(["topics"], user)).stderr).toContain("set KAFKA_USERS");
});
