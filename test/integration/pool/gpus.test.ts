/**
 * Models on the GPUs of a host: refused where there are none that can be used, spread over them, ended for each other.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { StatusSchema } from "../../../gpu-pool/telemetry/status.ts";
import type { Tracked } from "./fake-edge.ts";
import { makeCards, makeFakeGpus } from "./fake-gpus.ts";
import type { FakeGpus } from "./fake-gpus.ts";
import { modelPids, roomOf, startFixture } from "./fixture.ts";
import type { Fixture } from "./fixture.ts";
import type { models } from "./models.ts";

const byName = (one: string, other: string): number => one.localeCompare(other);
const ended = (all: readonly Tracked[]) => (): boolean => all.every(({ terminal }) => terminal !== null);
const outputOf = ({ terminal }: Tracked): string =>
  terminal?.type === "succeeded" ? String(terminal.output) : JSON.stringify(terminal);

/** One prediction of each, all at once; where each of them ran. */
async function runAll({ edge, ref }: Fixture, names: (keyof typeof models)[]): Promise<string[]> {
  const all = await Promise.all(names.map(async (name) => edge.submit(await ref(name), {})));
  await edge.until(ended(all), 30_000);
  return all.map(outputOf);
}

test("a GPU model is refused where nvidia-smi fails, with the reason, and never runs on the CPU instead", async () => {
  using gpus = makeFakeGpus("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18");
  await using fixture = await startFixture(["gpu", "either", "single"], [], { env: gpus.env });
  const { edge, pool } = fixture;
  await edge.until(() => roomOf(edge, "gpu") !== undefined);
  expect(roomOf(edge, "gpu")?.room).toBe(0);
  expect(roomOf(edge, "gpu")?.problem).toContain("version mismatch");
  expect(roomOf(edge, "single")).toMatchObject({ problem: null });
  const refused = edge.submit(await fixture.ref("gpu"), { do: "fine" });
  const either = edge.submit(await fixture.ref("either"), { do: "fine" });
  await edge.until(ended([refused, either]));
  expect(refused.terminal).toMatchObject({ type: "failed", error: { code: "setup_failed" } });
  expect(JSON.stringify(refused.terminal)).toContain("nvidia-smi failed (exit code 18)");
  expect(refused.starts).toBe(0);
  expect(either.terminal).toMatchObject({ type: "succeeded" });
  const status = await (await fetch(`http://127.0.0.1:${await pool.port()}/status`)).text();
  expect(status).toMatch(/^{"devices":\[\],"problem":"nvidia-smi failed [^"]*version mismatch"/);
  expect(status).toContain('"model":"local/gpu","state":"stopped"');
});

/** A card whose driver runs this CUDA. */
function makeDriver(cuda: string): FakeGpus {
  return makeFakeGpus(
    `[ $# -gt 0 ] && { echo "0, GPU-0, Test card, 1000, 0, 0, 30, 10, 0"; exit; }\necho "| CUDA Version: ${cuda} |"`,
  );
}

test("a model that wants a newer CUDA than the driver runs is refused before it is set up, with the reason", async () => {
  using gpus = makeDriver("12.4");
  await using fixture = await startFixture(["gpu-cuda-12", "gpu-cuda-13"], [], { env: gpus.env });
  const { edge } = fixture;
  await edge.until(() => roomOf(edge, "gpu-cuda-13") !== undefined);
  expect(roomOf(edge, "gpu-cuda-13")).toMatchObject({ room: 0 });
  expect(roomOf(edge, "gpu-cuda-13")?.problem).toContain("is 13.0, and this host's NVIDIA driver runs CUDA up to 12.4");
  expect(roomOf(edge, "gpu-cuda-12")).toMatchObject({ problem: null });
  const refused = edge.submit(await fixture.ref("gpu-cuda-13"), { do: "fine" });
  const fine = edge.submit(await fixture.ref("gpu-cuda-12"), { do: "fine" });
  await edge.until(ended([refused, fine]));
  expect(fine.terminal).toMatchObject({ type: "succeeded" });
  // It was never granted: no pool here has room for it.
  expect(refused.terminal).toMatchObject({ type: "failed", error: { code: "setup_failed" } });
  expect(refused.events).toEqual([]);
  expect(refused.starts).toBe(0);
});

test("so is one whose PyTorch is built for a newer CUDA", async () => {
  using gpus = makeDriver("12.4");
  const folder = join(gpus.env["FAKE_CARDS"] ?? "", "env");
  const made = spawnSync(process.env["EDGEPLANE_PYTHON"] ?? "python3", ["-m", "venv", "--without-pip", folder]);
  expect(made.status).toBe(0);
  const [version = ""] = readdirSync(join(folder, "lib"));
  const torch = join(folder, "lib", version, "site-packages", "torch");
  mkdirSync(torch);
  writeFileSync(join(torch, "version.py"), "__version__ = '2.9.0+cu130'\ncuda: Optional[str] = '13.0'\n");
  const env = { ...gpus.env, EDGEPLANE_PYTHON: join(folder, "bin", "python3") };
  await using fixture = await startFixture(["gpu"], ["--device-check", "off"], { env });
  const { edge } = fixture;
  const refused = edge.submit(await fixture.ref("gpu"), { do: "fine" });
  await edge.until(ended([refused]));
  expect(refused.events).toMatchObject([{ type: "released", reason: "setup" }]);
  expect(JSON.stringify(refused.events)).toContain("the model's PyTorch is built for CUDA 13.0");
  expect(refused.starts).toBe(0);
});

test("models spread over the cards, one process each, and what fits on none is refused", async () => {
  using gpus = makeCards([1000, 1000]);
  await using fixture = await startFixture(["gpu-a", "gpu-b", "gpu-huge"], [], { env: gpus.env });
  const { edge, pool } = fixture;
  const cards = await runAll(fixture, ["gpu-a", "gpu-b"]);
  expect(cards.toSorted(byName)).toEqual(["0", "1"]);
  expect(await modelPids(pool)).toHaveLength(2);
  expect(roomOf(edge, "gpu-huge")?.room).toBe(0);
  expect(roomOf(edge, "gpu-huge")?.problem).toContain("4.9 GiB");
});

test("three models that fit on a card one at a time take turns, and come back", async () => {
  using gpus = makeCards([1000]);
  await using fixture = await startFixture(["gpu-a", "gpu-b", "gpu-c"], [], { env: gpus.env });
  expect(await runAll(fixture, ["gpu-a", "gpu-b", "gpu-c"])).toEqual(["0", "0", "0"]);
  expect(await modelPids(fixture.pool)).toHaveLength(1);
  expect(await runAll(fixture, ["gpu-a"])).toEqual(["0"]);
  expect(fixture.pool.output()).not.toContain("could not be set up");
  const metrics = await (await fetch(`http://127.0.0.1:${await fixture.pool.port()}/metrics`)).text();
  const countOf = (name: string): number =>
    [...metrics.matchAll(new RegExp(`edgeplane_pool_${name}_seconds_count\\{[^}]*\\} (\\d+)`, "g"))].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );
  expect(countOf("load")).toBeGreaterThan(2);
  expect(countOf("evict")).toBe(countOf("load") - 1);
});

test("eight cards of different sizes hold what fits on each, and a card that fails its check takes nothing", async () => {
  using gpus = makeCards([400, 700, 700, 1000, 1000, 2000, 6000, 6000]);
  const check = join(gpus.env["FAKE_CARDS"] ?? "", "check");
  writeFileSync(check, '#!/bin/sh\n[ "$1" != 7 ] || { echo "it computes wrong numbers"; exit 1; }\n');
  chmodSync(check, 0o755);
  const names = ["gpu-a", "gpu-b", "gpu-c", "gpu-x", "gpu-y", "gpu-huge"] as const;
  await using fixture = await startFixture([...names], ["--device-check", check], { env: gpus.env });
  const cards = await runAll(fixture, [...names]);
  // The largest fits on one card only; no card holds more than it has.
  expect(cards.at(-1)).toBe("6");
  expect(cards).not.toContain("7");
  expect(cards).not.toContain("0");
  for (const card of cards) expect(card).toMatch(/^[1-6]$/);
  const status = StatusSchema.parse(await (await fetch(`http://127.0.0.1:${await fixture.pool.port()}/status`)).json());
  expect(status.devices.map(({ problem }) => problem !== null)).toEqual([...Array<boolean>(7).fill(false), true]);
  expect(status.devices[7]?.problem).toBe("GPU 7 failed its check: it computes wrong numbers");
  for (const { usedBytes, memoryBytes } of status.devices) expect(usedBytes ?? 0).toBeLessThanOrEqual(memoryBytes ?? 0);
  expect(fixture.pool.output()).not.toContain("could not be set up");
});

test("what a process says that it grew by is set aside for its model", async () => {
  using gpus = makeCards([1000]);
  await using fixture = await startFixture(["grows"], [], { env: gpus.env });
  const { edge, pool } = fixture;
  const grown = edge.submit(await fixture.ref("grows"), { mebibytes: 400 });
  await edge.until(ended([grown]));
  const port = await pool.port();
  const models = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/models`)).text();
  await expect.poll(models).toContain(`"deviceBytes":${300 * 1024 * 1024}`);
});

test("batches are no larger than fits what the card has left, by what those before took of it", async () => {
  using gpus = makeCards([1000]);
  await using fixture = await startFixture(["gpu-a", "gpu-batches"], [], { env: gpus.env });
  const { edge, pool } = fixture;
  await runAll(fixture, ["gpu-a"]);
  expect(await runAll(fixture, ["gpu-batches"])).toEqual(["1"]);
  const sizes = await runAll(fixture, Array<"gpu-batches">(16).fill("gpu-batches"));
  // Beside the other's 600 MiB and its own 100 there are 300: a batch of three would take all of that.
  expect(sizes).toContain("2");
  for (const size of sizes) expect(size).toMatch(/^[12]$/);
  expect(edge.violations).toEqual([]);
  const port = await pool.port();
  const status = StatusSchema.parse(await (await fetch(`http://127.0.0.1:${port}/status`)).json());
  const MIB = 1024 * 1024;
  expect(status.models.find(({ model }) => model === "local/gpu-batches")?.memoryByCost).toEqual([
    { cost: 1, bytes: 100 * MIB },
    { cost: 2, bytes: 200 * MIB },
  ]);
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  expect(metrics).not.toMatch(/edgeplane_pool_bisected_total\{model="local\/gpu-batches"\}/);
  expect(metrics).toMatch(/edgeplane_pool_batch_memory_bytes_count\{model="local\/gpu-batches"\} [1-9]/);
});

test("models that say nothing of their memory are measured, and none fails for want of it", async () => {
  using gpus = makeCards([1000, 2000]);
  await using fixture = await startFixture(["gpu-x", "gpu-y"], [], { env: gpus.env });
  expect((await runAll(fixture, ["gpu-x", "gpu-y"])).toSorted(byName)).toEqual(["0", "1"]);
  expect((await runAll(fixture, ["gpu-x", "gpu-y"])).toSorted(byName)).toEqual(["0", "1"]);
  expect(await modelPids(fixture.pool)).toHaveLength(2);
});
