/**
 * A host that runs short: its uplink is slower than its models, its disk is full. Nobody fails for it, and nothing is
 * lost.
 */
import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { StatusSchema } from "../../../gpu-pool/telemetry/status.ts";
import { canMountDisks, smallDisk } from "../../small-disk.ts";
import type { Tracked } from "./fake-edge.ts";
import { roomOf, startFixture } from "./fixture.ts";

const MEBIBYTE = 1024 * 1024;
const LIMIT_BYTES = 300_000;

const ended = (all: readonly Tracked[]) => (): boolean => all.every(({ terminal }) => terminal !== null);
const handedBack = ({ events }: Tracked) => events.find((event) => event.type === "released");

test("a model whose files wait for a slow uplink makes no more of them, and goes on when they are gone", async () => {
  await using fixture = await startFixture(["film", "single"], ["--max-upload-backlog-bytes", String(LIMIT_BYTES)]);
  const { edge, pool } = fixture;
  const uplink = Promise.withResolvers<void>();
  edge.behaviour.blobsWaitFor = uplink.promise;
  const ref = await fixture.ref("film");
  const films = Array.from({ length: 12 }, () => edge.submit(ref, {}));
  await edge.until(() => roomOf(edge, "film")?.pausedBy !== undefined, 20_000);
  expect(roomOf(edge, "film")).toMatchObject({ room: 0, problem: null });
  expect(roomOf(edge, "film")?.pausedBy).toContain("wait for their upload");
  // What makes no files goes on.
  const single = edge.submit(await fixture.ref("single"), { do: "fine" });
  await edge.until(ended([single]));
  const status = await fetch(`http://127.0.0.1:${await pool.port()}/status`);
  const { pressure, models, ...rest } = StatusSchema.parse(await status.json());
  expect(rest).toMatchObject({ state: "serving", edge: "connected", preemption: { cloud: null, notice: null } });
  expect(models.find(({ model }) => model === "local/film")?.pausedBy).toContain("wait for their upload");
  expect(models.find(({ model }) => model === "local/single")).toMatchObject({
    pausedBy: null,
    instances: [{ freeSlots: 1 }],
  });
  const metrics = await (await fetch(`http://127.0.0.1:${await pool.port()}/metrics`)).text();
  expect(metrics).toContain('edgeplane_pool_short{what="uploads"} 1');
  expect(metrics).toContain('edgeplane_pool_attempts_total{model="local/single",attempt="1"} 1');
  expect(pressure.uploads.problem).toContain("wait for their upload");
  expect(pressure.uploads.bytes).toBeLessThan(2 * LIMIT_BYTES);
  expect(films.filter(({ row }) => row.state === "running").length).toBeLessThan(6);
  uplink.resolve();
  await edge.until(ended(films), 30_000);
  expect(films.map(({ terminal }) => terminal?.type)).toEqual(films.map(() => "succeeded"));
  await edge.until(() => roomOf(edge, "film")?.pausedBy === undefined);
  expect(edge.violations).toEqual([]);
});

test("a host that can't make folders for its models fails no prediction, tells no client where they are, and says so", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge, pool, home } = fixture;
  await edge.until(() => roomOf(edge, "single") !== undefined);
  const scratch = join(home.state, "scratch");
  rmSync(scratch, { recursive: true });
  writeFileSync(scratch, "");
  const waits = edge.submit(await fixture.ref("single"), { do: "fine" });
  await edge.until(() => roomOf(edge, "single")?.pausedBy !== undefined);
  const pausedBy = "this host can't make folders for its models (EEXIST)";
  expect(roomOf(edge, "single")).toMatchObject({ room: 0, problem: null, pausedBy });
  expect(waits.terminal).toBeNull();
  await expect.poll(() => pool.output()).toContain("a model can't be started for now");
});

describe.skipIf(!canMountDisks)("a disk that is full", () => {
  test("takes no more predictions, hands back what met it, and goes on when there is space", async () => {
    using disk = smallDisk(64);
    const flags = ["--state-dir", join(disk.path, "state"), "--min-free-disk-bytes", String(4 * MEBIBYTE)];
    await using fixture = await startFixture(["film"], flags);
    const { edge, pool } = fixture;
    const film = async (kib: number): Promise<Tracked> => edge.submit(await fixture.ref("film"), { kib });
    const first = await film(1);
    await edge.until(ended([first]));
    disk.fill(8 * MEBIBYTE);
    // There seems to be enough, and isn't.
    const large = await film(12 * 1024);
    await edge.until(() => handedBack(large) !== undefined);
    expect(handedBack(large)).toMatchObject({ reason: "setup" });
    expect(JSON.stringify(handedBack(large))).toContain("No space left on device");
    expect(statfsSync(disk.path).bavail * statfsSync(disk.path).bsize).toBeGreaterThan(7 * MEBIBYTE);
    disk.fill(MEBIBYTE);
    await edge.until(() => roomOf(edge, "film")?.pausedBy?.includes("MiB free") === true);
    expect(roomOf(edge, "film")).toMatchObject({ room: 0, problem: null });
    await expect.poll(() => pool.output()).toContain("this host runs short");
    const waits = await film(1);
    disk.empty();
    await edge.until(ended([large, waits]), 30_000);
    for (const { terminal } of [large, waits]) expect(terminal?.type).toBe("succeeded");
    expect(edge.violations).toEqual([]);
  });

  test("loses no result that was finished while the edge was away", async () => {
    using disk = smallDisk(64);
    const flags = ["--state-dir", join(disk.path, "state"), "--min-free-disk-bytes", "0"];
    await using fixture = await startFixture(["single"], flags);
    const { edge } = fixture;
    const kept = edge.submit(await fixture.ref("single"), { do: "sleep 0.7" });
    await edge.until(() => kept.events.some(({ type }) => type === "log"));
    disk.fill(0);
    await edge.goAway();
    await expect.poll(() => fixture.pool.output()).toContain("results can't be delivered");
    const { port } = fixture.pool;
    const spooled = async (): Promise<string> => (await fetch(`http://127.0.0.1:${await port()}/healthz`)).text();
    await expect.poll(spooled).toContain('"spooled":1');
    await fixture.pool.kill("SIGKILL");
    await edge.comeBack();
    fixture.restart();
    await edge.until(ended([kept]), 20_000);
    expect([kept.terminal?.type, kept.starts]).toEqual(["succeeded", 1]);
  });
});
