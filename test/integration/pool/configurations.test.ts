/**
 * What the edge says of how a model runs holds in place of its files: at a start, while all runs, and without the edge.
 */
import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as z from "zod";
import { runCli } from "../../../cli/test-io.ts";
import { StatusSchema } from "../../../gpu-pool/telemetry/status.ts";
import type { Status } from "../../../gpu-pool/telemetry/status.ts";
import type { ModelConfiguration } from "../../../src/contract/model-configuration.ts";
import { startChannelCutter } from "./channel-cutter.ts";
import { roomOf, startFixture } from "./fixture.ts";
import type { Fixture } from "./fixture.ts";
import type { Tracked } from "./fake-edge.ts";
import { models } from "./models.ts";
import { modelAt, startPoolInside } from "./pool-inside.ts";
import { startPool } from "./pool-process.ts";
import type { RunningPool } from "./pool-process.ts";

const hello = ({ edge }: Fixture) => edge.hellos.at(-1)?.models.find(({ name }) => name === "serial");

async function modelOf(pool: RunningPool, name: string): Promise<Status["models"][number]> {
  const answer = await fetch(`http://127.0.0.1:${await pool.port()}/status`);
  const { models } = StatusSchema.parse(await answer.json());
  return z.custom<Status["models"][number]>().parse(models.find(({ model }) => model === `local/${name}`));
}

/** How often each ran: `sleep` says it once when it begins. */
const runsOf = (all: readonly Tracked[]): number[] =>
  all.map(({ events }) => events.filter(({ type }) => type === "log").length);

/** From now on the edge says this, and tells the pools whose channel is open. */
function say({ edge }: Fixture, configurations: Record<string, ModelConfiguration>): void {
  edge.behaviour.configurations = configurations;
  edge.tell({ type: "configurations" });
}

test("the edge's word holds over the files', of this model alone, and is kept for a start without the edge", async () => {
  const configurations = { "local/serial": { maxBatchSize: 3, startTimeoutMs: 5000, instances: 1 } };
  await using fixture = await startFixture(["serial", "single"], [], { configurations });
  const { edge, pool } = fixture;
  // What is registered is what the files say: the edge knows what it says itself.
  expect(hello(fixture)).toMatchObject({ maxBatchSize: 8, maxQueueDelayMs: 150, startTimeoutMs: 3_600_000 });
  await edge.until(() => roomOf(edge, "serial") !== undefined);
  expect(roomOf(edge, "serial")?.room).toBe(3);

  await pool.kill("SIGTERM");
  edge.behaviour.configurations = null;
  const before = edge.hellos.length;
  const again = fixture.restart();
  await edge.until(() => edge.hellos.length > before);
  expect((await modelOf(again, "serial")).configuration).toMatchObject({ maxBatchSize: 3 });
  expect(again.output()).toContain("those it said last hold");
});

test("a pool that starts with what doesn't fit the files goes by these, and says so", async () => {
  const configurations = { "local/serial": { maxBatchSize: 3, maxBatchCost: 10 } };
  await using fixture = await startFixture(["serial", "single"], [], { configurations });
  const { edge, pool } = fixture;
  await edge.until(() => roomOf(edge, "serial")?.room === 8);
  expect(await modelOf(pool, "serial")).toMatchObject({ configuration: {} });
  expect((await modelOf(pool, "serial")).misconfigured).toContain("say what a prediction costs");
  await expect.poll(() => pool.output().match(/doesn't fit its files/g)).toHaveLength(1);
  say(fixture, { "local/serial": { maxBatchSize: 3 } });
  await edge.until(() => roomOf(edge, "serial")?.room === 3);
});

test("limits hold at once; what a deployment says of a version holds before what its model's row says", async () => {
  await using fixture = await startFixture(["serial"]);
  const { edge, pool } = fixture;
  const { version } = await fixture.ref("serial");
  await edge.until(() => roomOf(edge, "serial")?.room === 8);
  expect(edge.hellos.at(-1)?.hears).toContain("configurations");
  say(fixture, { "local/serial": { maxBatchSize: 5 } });
  await edge.until(() => roomOf(edge, "serial")?.room === 5);
  edge.behaviour.deployed = {
    [`local/serial:${version}`]: { maxBatchSize: 2 },
    "local/serial:other": { pinned: true },
  };
  edge.tell({ type: "configurations" });
  await edge.until(() => roomOf(edge, "serial")?.room === 2);
  edge.behaviour.deployed = {};
  say(fixture, {});
  await edge.until(() => roomOf(edge, "serial")?.room === 8);
  expect((await modelOf(pool, "serial")).configuration).toEqual({});
});

test("what waits for company goes as soon as it needs none any more", async () => {
  const configurations = { "local/serial": { maxQueueDelayMs: 60_000 } };
  await using fixture = await startFixture(["serial"], ["--warm"], { configurations });
  const { edge, pool } = fixture;
  await expect.poll(async () => (await modelOf(pool, "serial")).state).toBe("ready");
  const tracked = edge.submit(await fixture.ref("serial"), { do: "x" });
  await expect.poll(async () => (await modelOf(pool, "serial")).waiting).toBe(1);
  say(fixture, { "local/serial": { maxQueueDelayMs: 0 } });
  await edge.until(() => tracked.terminal?.type === "succeeded");
});

test("a model that comes while the edge can't say goes by what it said last", async () => {
  const said = { configurations: { "local/serial": { maxBatchSize: 3 } }, versions: {} };
  await using inside = await startPoolInside({ "set/serial": models.serial }, said);
  inside.edge.behaviour.configurations = null;
  inside.pool.models.add(modelAt(inside, "set/serial"));
  await inside.edge.until(() => roomOf(inside.edge, "serial")?.room === 3);
});

test("what doesn't fit the files changes nothing, and is said, until it is taken back", async () => {
  await using fixture = await startFixture(["serial", "single"]);
  const { edge, pool } = fixture;
  say(fixture, { "local/serial": { maxBatchSize: 5, maxBatchCost: 10 }, "local/single": { maxBatchSize: 4 } });
  await edge.until(() => roomOf(edge, "single")?.room === 4);
  const serial = await modelOf(pool, "serial");
  expect(serial.configuration).toEqual({});
  expect(serial.misconfigured).toContain("say what a prediction costs");
  expect(roomOf(edge, "serial")?.room).toBe(8);
  const { stdout } = await runCli(["pools", "status", "--address", `http://127.0.0.1:${await pool.port()}`]);
  expect(stdout).toContain("! local/serial: cog.yaml, edgeplane.cost: maxBatchCost and costBuckets need it");
  say(fixture, {});
  await expect.poll(async () => (await modelOf(pool, "serial")).misconfigured).toBeNull();
});

test("more or fewer processes come and go, and pinned ones come without work", async () => {
  await using fixture = await startFixture(["single"]);
  const { pool, home } = fixture;
  const placed = async () => (await modelOf(pool, "single")).instances.filter(({ pid }) => pid !== null).length;
  const single = await modelOf(pool, "single");
  expect([single.instances.length, await placed()]).toEqual([1, 0]);
  say(fixture, { "local/single": { pinned: true, instances: 3 } });
  await expect.poll(placed).toBe(1);
  const ref = await fixture.ref("single");
  const all = Array.from({ length: 6 }, () => fixture.edge.submit(ref, { do: `until ${home.root}/go` }));
  await expect.poll(placed).toBe(3);
  say(fixture, { "local/single": { instances: 1 } });
  writeFileSync(`${home.root}/go`, "");
  await fixture.edge.until(() => all.every(({ terminal }) => terminal?.type === "succeeded"), 20_000);
  await expect.poll(placed).toBe(1);
  expect((await modelOf(pool, "single")).instances).toHaveLength(1);
  // What the fewer processes could not begin soon was handed back, and ran once all the same.
  expect(runsOf(all)).toEqual(all.map(() => 1));
});

test("two pools with two models follow under load, the one that was away when it is back: no prediction fails", async () => {
  await using fixture = await startFixture(["serial", "single"], ["--warm"]);
  const { edge, home } = fixture;
  const cutter = await startChannelCutter(Number(new URL(edge.url).port));
  const away = startPool({ ...home, state: `${home.state}-2` }, cutter.url, edge.token, ["--warm"]);
  try {
    await edge.until(() => new Set(edge.hellos.map(({ session }) => session)).size === 2);
    const refs = [await fixture.ref("serial"), await fixture.ref("single")] as const;
    const all = [...refs, ...refs].flatMap((ref) =>
      Array.from({ length: 4 }, () => edge.submit(ref, { do: "sleep 0.02" })),
    );
    let isOn = true;
    const load = edge.until(() => {
      const open = all.filter(({ terminal }) => terminal === null).length;
      for (let more = open; isOn && more < 16; more += 1)
        all.push(edge.submit(refs[more % 2] ?? refs[0], { do: "sleep 0.02" }));
      return !isOn && open === 0;
    }, 60_000);
    const pools = [fixture.pool, away];
    const pidsOf = async (pool: RunningPool) =>
      Promise.all(
        ["serial", "single"].map(async (name) =>
          (await modelOf(pool, name)).instances.flatMap(({ pid, state }) =>
            state === "ready" || state === "busy" ? [pid] : [],
          ),
        ),
      );
    const haveOneEach = [[expect.any(Number)], [expect.any(Number)]];
    for (const pool of pools) await expect.poll(async () => pidsOf(pool)).toEqual(haveOneEach);
    const before = new Set((await Promise.all(pools.map(pidsOf))).flat(2));
    cutter.cut();
    // Processes have to be launched anew for these.
    say(fixture, {
      "local/serial": { maxBatchSize: 4, progressTimeoutMs: 60_000 },
      "local/single": { silenceTimeoutMs: 30_000 },
    });
    const isFollowed = async (pool: RunningPool) => {
      const pids = (await pidsOf(pool)).map(([pid]) => pid);
      return pids.every((pid) => pid !== undefined && !before.has(pid));
    };
    await expect.poll(async () => isFollowed(fixture.pool)).toBe(true);
    expect((await modelOf(away, "serial")).configuration).toEqual({});
    cutter.mend();
    await expect.poll(async () => isFollowed(away)).toBe(true);
    isOn = false;
    await load;
    expect(all.filter(({ terminal }) => terminal?.type !== "succeeded")).toEqual([]);
    // A grant that the cut channel lost is counted as a start, and nothing ran of it.
    expect(runsOf(all)).toEqual(all.map(() => 1));
    expect(edge.violations).toEqual([]);
  } finally {
    await away.kill("SIGKILL");
    await cutter.stop();
  }
});

test("how long a run may take goes with the predictions of a deployment, before what the model says", async () => {
  await using fixture = await startFixture(["slow"]);
  const { edge } = fixture;
  const ref = await fixture.ref("slow");
  const [short, long] = [200, 20_000].map((runLimitMs) => edge.submit(ref, { do: "sleep 1.2" }, { runLimitMs }));
  await edge.until(() => short?.terminal !== null && long?.terminal !== null);
  expect(short?.terminal).toMatchObject({ type: "failed", error: { code: "timed_out" } });
  expect(long?.terminal).toMatchObject({ type: "succeeded" });
});
