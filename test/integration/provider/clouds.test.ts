/**
 * Providers against servers made from their public API documents, with what goes wrong there: everything through the
 * service itself and an edge that speaks the contract.
 */
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { DesiredMachine } from "../../../src/contract/provider.ts";
import { edgeAt } from "../../../provider/edge.ts";
import { Entry } from "../../../provider/entry.ts";
import { FakeCloud } from "../../../provider/fakes/cloud.ts";
import type { FakeApi, Fault } from "../../../provider/fakes/cloud.ts";
import { PLAIN_KEY, plainApi } from "../../../provider/fakes/plain.ts";
import { RUNPOD_KEY, runpodApi } from "../../../provider/fakes/runpod.ts";
import { VAST_KEY, vastApi } from "../../../provider/fakes/vast.ts";
import { namesWith } from "../../../provider/names.ts";
import type { Provider } from "../../../provider/provider.ts";
import { defaultTimes, Reconciler } from "../../../provider/reconciler.ts";
import { TestEdge } from "../../../provider/test-edge.ts";
import { command, CommandSchema } from "../../../provider/providers/command.ts";
import { runpod, RunpodSchema } from "../../../provider/providers/runpod.ts";
import { vast, VastSchema } from "../../../provider/providers/vast.ts";

const A = "m0123456789ab";
const NAME = `edgeplane-${A}`;
const names = namesWith("edgeplane-");
const image = "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404";
/** A create whose answer doesn't come is given up, and then settles. */
const FAST = { createLimitMs: 1000, settleMs: 120, busyMs: 15 };
/** Starting a program takes its time. */
const SLOWER = { createLimitMs: 5000, settleMs: 400, busyMs: 100 };

type Case = { kind: string; api: FakeApi; offer: string; speed: typeof FAST; make: (url: string) => Provider };

const rented = { image, diskGb: 40, env: { HF_HOME: "/models" } };
const cases: Case[] = [
  {
    kind: "runpod",
    api: runpodApi,
    offer: "nvidia-rtx-4090/SECURE",
    speed: FAST,
    make(baseUrl) {
      const choice = { gpu: "NVIDIA GeForce RTX 4090", clouds: ["SECURE", "COMMUNITY"], minCuda: "12.4", ...rented };
      return runpod(RunpodSchema.parse({ baseUrl, hardware: { "nvidia-rtx-4090": choice } }), RUNPOD_KEY);
    },
  },
  {
    kind: "vast",
    api: vastApi,
    offer: "nvidia-rtx-4090/501",
    speed: FAST,
    make(baseUrl) {
      const hardware = { "nvidia-rtx-4090": { gpus: ["RTX 4090"], countries: ["SE", "US"], ...rented } };
      return vast(VastSchema.parse({ baseUrl, hardware, createGapMs: 0, quietMs: 0 }), VAST_KEY);
    },
  },
  {
    kind: "command",
    api: plainApi,
    offer: "gpu-1",
    speed: SLOWER,
    make(url) {
      vi.stubEnv("MY_CLOUD_URL", url);
      vi.stubEnv("MY_CLOUD_KEY", PLAIN_KEY);
      const verbs = ["offers", "list", "create", "destroy"].map((verb) => [
        verb,
        ["python3", "deploy/provider/my-cloud.py", verb],
      ]);
      return command(CommandSchema.parse(Object.fromEntries(verbs)), () => {});
    },
  },
];

const wanted = (offer: string, changes: Partial<DesiredMachine> = {}): DesiredMachine => ({
  machine: A,
  state: "running",
  offer,
  hardware: "gpu",
  name: NAME,
  poolToken: "epp_token",
  edgeUrl: "https://edge.example.com",
  lanes: ["default"],
  ...changes,
});

let edge: TestEdge;
let cloud: FakeCloud;
let entry: Entry | null;

async function start({ kind, make, speed }: Case): Promise<void> {
  const provider = make(await cloud.start());
  const times = { ...defaultTimes, listMs: speed.busyMs * 3, busyListMs: speed.busyMs, soonListMs: speed.busyMs };
  const reconciler = new Reconciler({
    name: "test",
    kind,
    names,
    times: { ...times, settleMs: speed.settleMs, refusedMs: 100 },
  });
  const url = await edge.start();
  const log = pino({ level: "silent" });
  const { createLimitMs } = speed;
  entry = new Entry({ provider, reconciler, edge: edgeAt(url, "epv_test"), log, createLimitMs, onRefused: () => {} });
  entry.start();
}

beforeEach(() => {
  edge = new TestEdge();
  entry = null;
});
afterEach(async () => {
  await entry?.stop();
  await cloud.stop();
  await edge.stop();
  vi.unstubAllEnvs();
});

describe.each(cases)("$kind", (one) => {
  const { api, offer } = one;
  beforeEach(() => {
    cloud = new FakeCloud(api);
  });

  it("tells offers, makes a machine whose pool knows where to sign in, and returns it", async () => {
    cloud.make("somebody-else", {}, "up");
    await start(one);
    await expect.poll(() => edge.last?.offers.map(({ id }) => id)).toContain(offer);
    edge.desire([wanted(offer)]);
    await expect.poll(() => edge.last?.machines).toMatchObject([{ machine: A, state: "creating" }]);
    const machine = [...cloud.machines.values()].find(({ name }) => name === NAME);
    const told = JSON.stringify(machine?.order);
    expect(told).toContain('"EDGEPLANE_URL":"https://edge.example.com","EDGEPLANE_POOL_TOKEN":"epp_token"');
    expect(told).toContain("$EDGEPLANE_URL/pool/install.sh");
    for (const state of ["booting", "running"]) {
      if (machine !== undefined) machine.status = state === "running" ? "up" : state;
      await expect.poll(() => edge.last?.machines).toMatchObject([{ machine: A, state }]);
    }
    edge.desire([wanted(offer, { state: "gone" })]);
    await expect.poll(() => cloud.names).toStrictEqual(["somebody-else"]);
    await expect.poll(() => edge.last).toMatchObject({ machines: [], complete: true, orphansReturned: 0 });
  });

  const faults: Fault[] = ["too many", "failed late", "silent"];
  it.each(one.kind === "command" ? faults : ([...faults, "failed", "cut", "cut late"] as Fault[]))(
    "makes one machine, though its create is answered so: %s",
    async (fault) => {
      cloud.faults.create = [fault];
      await start(one);
      edge.desire([wanted(offer)]);
      await expect.poll(() => edge.last?.machines).toMatchObject([{ machine: A }]);
      await expect.poll(() => edge.last?.refused).toStrictEqual([]);
      expect(cloud.names).toStrictEqual([NAME]);
      const wasDone = fault.endsWith("late") || fault === "silent";
      expect(cloud.count("create")).toBe(wasDone ? 1 : 2);
      expect(edge.last).toMatchObject({ orphansReturned: 0, duplicatesReturned: 0 });
    },
  );

  it("tells that it is sold out, and tries again later", async () => {
    cloud.faults.create = ["sold out"];
    await start(one);
    edge.desire([wanted(offer)]);
    const soldOut = () => edge.syncs.some(({ refused }) => refused.some(({ reason }) => reason === "sold_out"));
    await expect.poll(soldOut).toBe(true);
    if (one.kind === "command") return;
    await expect.poll(() => cloud.names).toStrictEqual([NAME]);
  });
});

/** What programs of one's own have in common with these is tried once: these are quicker. */
describe.each(cases.filter(({ kind }) => kind !== "command"))("$kind, later", (one) => {
  const { offer } = one;
  beforeEach(() => {
    cloud = new FakeCloud(one.api);
  });

  it("tells a machine that vanished, and makes none in its place", async () => {
    cloud.make(NAME, {}, "up");
    await start(one);
    edge.desire([wanted(offer)]);
    await expect.poll(() => edge.last?.machines).toHaveLength(1);
    cloud.machines.clear();
    await expect.poll(() => edge.last).toMatchObject({ machines: [], complete: true, refused: [{ machine: A }] });
    expect(cloud.count("create")).toBe(0);
  });

  it("returns a machine on which nothing runs any more, and tells it as gone", async () => {
    cloud.make(NAME, {}, "exited");
    await start(one);
    edge.desire([wanted(offer)]);
    await expect.poll(() => cloud.names).toStrictEqual([]);
    await expect.poll(() => edge.last?.machines).toStrictEqual([]);
  });

  it("returns a machine that never boots when the edge says so, though its return fails, and then is a lie", async () => {
    cloud.faults.destroy = ["failed", "lies"];
    cloud.bornAs = "booting";
    await start(one);
    edge.desire([wanted(offer)]);
    await expect.poll(() => edge.last?.machines).toMatchObject([{ machine: A, state: "booting" }]);
    edge.desire([wanted(offer, { state: "gone" })]);
    await expect.poll(() => edge.last?.machines).toStrictEqual([]);
    expect(cloud.names).toStrictEqual([]);
    expect(cloud.count("destroy")).toBe(3);
  });

  it("returns what is there twice, and what nobody wants, and nothing else", async () => {
    const others = ["edgeplane-web", "my-edgeplane-m0123456789ab", "web"];
    for (const name of [NAME, NAME, "edgeplane-m0123456789ac", ...others]) cloud.make(name, {}, "up");
    edge.desire([wanted(offer)]);
    await start(one);
    await expect.poll(() => cloud.names.toSorted()).toStrictEqual([NAME, ...others].toSorted());
    await expect.poll(() => edge.last).toMatchObject({ orphansReturned: 1, duplicatesReturned: 1 });
  });

  it("says why its list can't be read, and takes nothing for gone", async () => {
    cloud.make(NAME, {}, "up");
    await start(one);
    edge.desire([wanted(offer)]);
    await expect.poll(() => edge.last?.machines).toHaveLength(1);
    cloud.faults.list = ["failed"];
    await expect.poll(() => edge.syncs.some(({ complete, problem }) => !complete && problem !== undefined)).toBe(true);
    expect(edge.last?.machines).toHaveLength(1);
  });
});

it("(vast) reads its list page by page", async () => {
  cloud = new FakeCloud(vastApi);
  for (let count = 0; count < 60; count += 1) cloud.make(`other-${count}`);
  const provider = cases[1]!.make(await cloud.start());
  expect(await provider.list(AbortSignal.timeout(30_000))).toHaveLength(60);
  expect(cloud.count("list")).toBe(3);
});

it("(vast) bids for what may be taken away", async () => {
  cloud = new FakeCloud(vastApi);
  const hardware = { spot: { gpus: ["RTX 4090"], image, spot: true, bidFactor: 1.5 } };
  const provider = vast(VastSchema.parse({ baseUrl: await cloud.start(), hardware }), VAST_KEY);
  const signal = AbortSignal.timeout(30_000);
  expect(await provider.offers(signal)).toMatchObject([
    { id: "spot/501", spot: true, host: "88", region: "Sweden, SE", reliability: 0.995, driver: "550.54.15" },
    { id: "spot/502" },
  ]);
  const { name, machine, edgeUrl, hardware: kind, lanes } = wanted("spot/501");
  await provider.create({ name, machine, edgeUrl, hardware: kind, lanes, offer: "spot/501", poolToken: "t" }, signal);
  expect([...cloud.machines.values()]).toMatchObject([{ order: { price: 0.3, label: NAME, cancel_unavail: true } }]);
});

it.each([cases[0]!, cases[1]!])(
  "($kind) tells what the account has left, and what it refuses without money",
  async (one) => {
    cloud = new FakeCloud(one.api);
    cloud.balance = -1.5;
    await start(one);
    await expect.poll(() => edge.last?.balance).toStrictEqual({ nano: -1_500_000_000, currency: "USD" });
    edge.desire([wanted(one.offer)]);
    const reasons = () => edge.syncs.flatMap(({ refused }) => refused.map(({ reason }) => reason));
    await expect.poll(reasons).toContain("refused");
  },
);

it.each([cases[0]!, cases[1]!])("($kind) calls a key that the provider doesn't take by its name", async (one) => {
  cloud = new FakeCloud({ ...one.api, key: "another" });
  await start(one);
  await expect.poll(() => edge.last?.problem).toContain("it answered 401");
  expect(edge.last?.complete).toBe(false);
});
