/**
 * Usage of two accounts on two hosts with cards: first, each card's time is told as its models measured it, however
 * many shared it; then pools and workerd are killed, and every record counts once all the same.
 */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import * as z from "zod";
import { ACCOUNT, callAdmin } from "../../scripts/lib/local-accounts.ts";
import { makeFakeGpus } from "../integration/pool/fake-gpus.ts";
import { createClient, isFinished } from "./harness/client.ts";
import type { Client, View } from "./harness/client.ts";
import { createExtraPool } from "./harness/extra-pool.ts";
import type { ExtraPool } from "./harness/extra-pool.ts";
import { judgeDevices, lineOfDevice, measureDevices } from "./harness/held-devices.ts";
import { accountNamed, settleUsage } from "./harness/usage.ts";
import { createWorld, modelsDir } from "./harness/world.ts";
import type { World } from "./harness/world.ts";

const EACH = 120;
const PACE_MS = 40;
const LIMIT_MS = 120_000;
/** The second kills its process where it is told to. */
const onCpu = ["trial", "echo"];
/** One runs batches in two processes, one runs several at once. */
const onCards = ["batches", "spread"];
/** Of each model and account, and for how long each holds its card. */
const CARD_EACH = 12;
const CARD_SECONDS = 0.15;
const hosts = ["stack", "second"];
const cards = hosts.flatMap((host) => [0, 1].map((card) => `Card ${host} ${card}`));

const KeySchema = z.looseObject({ key: z.string() });
const folder = mkdtempSync(join(tmpdir(), "edgeplane-usage-models-"));
/** The cards of a host have names of their own: records tell them apart. */
const gpus = hosts.map((host) =>
  makeFakeGpus(
    [0, 1].map((n) => `echo "${n}, GPU-${host}-${n}, Card ${host} ${n}, 80000, 0, 0, 30, 10, 0"`).join("\n"),
  ),
);
const envOf = (at: number) => ({ ...gpus[at]?.env, CHAOS_CARDS: `Card ${hosts[at]} ` });

let world: World;
let second: ExtraPool;
let clients: { client: Client; account: string; key: string }[];
const patience = new AbortController();
/** The prediction of each key that was sent. */
const ids = new Map<string, string>();
const ended: { view: View; key: string }[] = [];

async function keyOf({ stack: { url, adminKey } }: World, account: string): Promise<string> {
  await callAdmin(url, adminKey, "POST", "accounts", { name: account });
  return KeySchema.parse(await callAdmin(url, adminKey, "POST", "keys", { account, name: "chaos" })).key;
}

/** Sends a prediction of each account and follows it to its end. */
async function runForEach(model: string, name: string, input: object): Promise<void> {
  await Promise.all(
    clients.map(async ({ client }, index) => {
      const key = `u${index}-${name}`;
      const { id } = await client.create(key, { version: `local/${model}`, input: { key, ...input } });
      ids.set(key, id);
      let view: View | null = null;
      do view = await client.get(id);
      while (view !== null && !isFinished(view));
      expect(view).toMatchObject({ status: "succeeded" });
      if (view !== null) ended.push({ view, key });
    }),
  );
}

async function settle(): Promise<string[]> {
  const runs = world.runs();
  const predictions = ended.map(({ view, key }) => ({ view, runs: runs.get(key)?.length ?? 0 }));
  return settleUsage(world.stack, world.usage, clients, predictions);
}

const measured = () => measureDevices(world.held(), [...world.usage.records.values()], ids);

beforeAll(async () => {
  for (const name of onCpu) cpSync(join(modelsDir, name), join(folder, name), { recursive: true });
  const withCards = fileURLToPath(new URL("card-models", import.meta.url));
  for (const name of onCards) cpSync(join(withCards, name), join(folder, name), { recursive: true });
  world = await createWorld("echo", { models: folder, poolEnv: envOf(0) });
  second = await createExtraPool(world, "second-pool", world.stack.url, envOf(1));
  const since = Date.now();
  second.start();
  await world.said(/connected to the edge/, since);
  const keys = [world.stack.apiKey, await keyOf(world, "other")];
  clients = await Promise.all(
    [ACCOUNT, "other"].map(async (name, at) => {
      const key = keys[at] ?? "";
      return {
        client: createClient(world.stack.url, key, patience.signal),
        account: await accountNamed(world.stack, name),
        key,
      };
    }),
  );
});

afterAll(async () => {
  patience.abort();
  await second?.stop();
  await world?.end();
  for (const one of gpus) one[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

it("what attempts had of each card is what its models measured", { timeout: LIMIT_MS }, async () => {
  const numbers = Array.from({ length: CARD_EACH }, (_, n) => n);
  await Promise.all(
    onCards.flatMap((model) => numbers.map((n) => runForEach(model, `${model}-${n}`, { seconds: CARD_SECONDS }))),
  );
  expect(await settle()).toEqual([]);
  const devices = measured();
  console.log(devices.map(lineOfDevice).join("\n"));
  expect(judgeDevices(devices)).toEqual([]);
  const used = devices.filter(({ device }) => device !== "cpu");
  expect(used).not.toEqual([]);
  for (const { device } of used) expect(cards).toContain(device);
  // Several shared a card: what they took one by one is more than the time that it was held.
  const heldUs = world.held().reduce((sum, { beganUs, endedUs }) => sum + ((endedUs ?? beganUs) - beganUs), 0);
  expect(heldUs).toBeGreaterThan(used.reduce((sum, { mostUs }) => sum + mostUs, 0));
});

it("usage counts once while pools and workerd are killed", { timeout: 3 * LIMIT_MS }, async () => {
  const disturb = async () => {
    const { killPool, killWorkerd } = world.stack;
    const strikes: (() => unknown)[] = [killPool, second.killForGood, killWorkerd, killPool];
    for (const strike of strikes) {
      await sleep((EACH * PACE_MS) / (strikes.length + 1));
      strike();
    }
  };
  const disturbed = disturb();
  const running: Promise<void>[] = [];
  for (let n = 0; n < EACH; n += 1) {
    const model = onCpu[n % onCpu.length] ?? "";
    const act = model === "trial" && n % 15 === 0 ? { act: "crash" } : {};
    running.push(runForEach(model, String(n), { number: n, ...act }));
    await sleep(PACE_MS);
  }
  await disturbed;
  await Promise.all(running);
  expect(await settle()).toEqual([]);
  expect(judgeDevices(measured())).toEqual([]);
  const models = new Set([...world.usage.records.values()].map(({ model }) => model));
  expect([...onCpu, ...onCards].filter((name) => !models.has(`local/${name}`))).toEqual([]);
});
