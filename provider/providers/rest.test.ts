/** RunPod's and Vast.ai's clients against servers made from their public API documents: one call each. */
import { afterEach, describe, expect, it } from "vitest";
import { FakeCloud } from "../fakes/cloud.ts";
import type { Fault } from "../fakes/cloud.ts";
import { RUNPOD_KEY, runpodApi } from "../fakes/runpod.ts";
import { VAST_KEY, vastApi } from "../fakes/vast.ts";
import type { Order, Provider } from "../provider.ts";
import { runpod, RunpodSchema } from "./runpod.ts";
import { vast, VastSchema } from "./vast.ts";

const signal = () => AbortSignal.timeout(30_000);
const image = "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404";
const machine = "m0123456789ab";
const order = (offer: string): Order => ({
  name: `edgeplane-${machine}`,
  machine,
  offer,
  hardware: "gpu",
  edgeUrl: "https://edge.example.com",
  poolToken: "epp_token",
  lanes: ["default"],
});

let cloud: FakeCloud;
afterEach(() => cloud.stop());

async function runpodHere(choice: object = {}): Promise<Provider> {
  cloud = new FakeCloud(runpodApi);
  const hardware = { gpu: { gpu: "NVIDIA GeForce RTX 4090", image, ...choice } };
  return runpod(RunpodSchema.parse({ baseUrl: await cloud.start(), hardware }), RUNPOD_KEY);
}
async function vastHere(choice: object = {}): Promise<Provider> {
  cloud = new FakeCloud(vastApi);
  const hardware = { gpu: { gpus: ["RTX 4090"], image, ...choice } };
  return vast(VastSchema.parse({ baseUrl: await cloud.start(), hardware }), VAST_KEY);
}
/** Why a call was refused. */
const why = (call: Promise<unknown>) =>
  call.then(
    () => "done",
    ({ reason }: { reason: string }) => reason,
  );

const faults: [Fault, string][] = [
  ["too many", "rate_limited"],
  ["sold out", "sold_out"],
  ["failed", "ambiguous"],
  ["cut", "ambiguous"],
];

describe("runpod", () => {
  it("offers each cloud by itself, at the price of all cards", async () => {
    const offers = await (await runpodHere({ count: 2, clouds: ["SECURE", "COMMUNITY"] })).offers(signal());
    expect(offers).toMatchObject([
      { id: "gpu/SECURE", hardware: "gpu", devices: 2, pricePerHourNano: 880_000_000, currency: "USD", spot: false },
      { id: "gpu/COMMUNITY", devices: 2, pricePerHourNano: 620_000_000 },
    ]);
  });

  it("takes a pod of an unknown status for one that is there", async () => {
    const provider = await runpodHere();
    const id = await provider.create(order("gpu/SECURE"), signal());
    for (const made of cloud.machines.values()) Object.assign(made, { status: "MIGRATING" });
    expect(await provider.list(signal())).toMatchObject([{ providerId: id, state: "running" }]);
  });

  it("offers nothing that a cloud never has", async () => {
    const provider = await runpodHere({ count: 8, clouds: ["SECURE", "COMMUNITY"] });
    expect((await provider.offers(signal())).map(({ id }) => id)).toStrictEqual(["gpu/SECURE"]);
  });

  it("makes, lists and returns a pod", async () => {
    const provider = await runpodHere({ minCuda: "12.4", dataCenters: ["US-KS-2"] });
    const id = await provider.create(order("gpu/SECURE"), signal());
    expect(await provider.list(signal())).toMatchObject([{ providerId: id, name: order("").name, state: "creating" }]);
    expect([...cloud.machines.values()]).toMatchObject([
      { order: { cloud: "SECURE", gpu: { count: 1, minCudaVersion: "12.4" }, dataCenterIds: ["US-KS-2"] } },
    ]);
    await provider.destroy(id, signal());
    await provider.destroy(id, signal());
    expect(cloud.names).toStrictEqual([]);
  });

  it.each(faults)("says what a create did that was answered so: %s", async (fault, reason) => {
    const provider = await runpodHere();
    cloud.faults.create = [fault];
    expect(await why(provider.create(order("gpu/SECURE"), signal()))).toBe(reason);
  });

  it.each([
    ["7", 7000],
    [new Date(Date.now() + 3_600_000 * 5).toUTCString(), 3_600_000],
    ["Sun, 06 Nov 1994 08:49:37 GMT", 0],
    ["soon", null],
  ])("is quiet for as long as a 429 says: Retry-After %s", async (retryAfter, retryAfterMs) => {
    cloud = new FakeCloud({ ...runpodApi, tooMany: { status: 429, headers: { "Retry-After": retryAfter } } });
    cloud.faults.list = ["too many"];
    const options = RunpodSchema.parse({ baseUrl: await cloud.start(), hardware: {} });
    const call = runpod(options, RUNPOD_KEY).list(signal());
    await expect(call).rejects.toMatchObject({ reason: "rate_limited", retryAfterMs });
  });

  it("gives up an answer that doesn't come, and calls what it asks for wrongly so", async () => {
    const provider = await runpodHere({ diskGb: 1 });
    cloud.faults.create = ["silent"];
    expect(await why(provider.create(order("gpu/SECURE"), AbortSignal.timeout(30)))).toBe("timeout");
    cloud.faults.create = [];
    expect(await why(provider.create(order("other/SECURE"), signal()))).toBe("invalid");
    expect(await why(provider.create({ ...order("gpu/SECURE"), name: "" }, signal()))).toBe("invalid");
    cloud.balance = 0;
    expect(await why(provider.create(order("gpu/SECURE"), signal()))).toBe("refused");
  });
});

describe("vast", () => {
  it("offers single hosts, as filtered", async () => {
    const provider = await vastHere({ countries: ["SE"], minDownMbps: 500, minCuda: 12.4, datacenterOnly: true });
    expect(await provider.offers(signal())).toMatchObject([
      { id: "gpu/501", host: "88", pricePerHourNano: 400_000_000, available: 1, reliability: 0.995 },
      { id: "gpu/502", host: "89" },
    ]);
    expect(cloud.calls).toMatchObject([
      { body: { geolocation: { in: ["SE"] }, inet_down: { gte: 500 }, datacenter: { eq: true }, type: "ondemand" } },
    ]);
  });

  it("makes, lists and returns an instance", async () => {
    const provider = await vastHere();
    const id = await provider.create(order("gpu/501"), signal());
    expect(await provider.list(signal())).toMatchObject([{ providerId: id, name: order("").name, host: "88" }]);
    await provider.destroy(id, signal());
    await provider.destroy(id, signal());
    expect(cloud.names).toStrictEqual([]);
  });

  it.each(faults)("says what a create did that was answered so: %s", async (fault, reason) => {
    const provider = await vastHere();
    cloud.faults.create = [fault];
    expect(await why(provider.create(order("gpu/501"), signal()))).toBe(reason);
  });

  it.each([
    ["too many", "rate_limited", 15_000],
    ["failed", "refused", null],
    ["cut", "refused", null],
  ] as const)("made nothing where its price could not be asked: %s", async (fault, reason, retryAfterMs) => {
    const provider = await vastHere({ spot: true });
    cloud.faults.offers = [fault];
    await expect(provider.create(order("gpu/501"), signal())).rejects.toMatchObject({ reason, retryAfterMs });
    expect(cloud.count("create")).toBe(0);
  });

  it("keeps the distance between creates that Vast asks for", async () => {
    const provider = await vastHere();
    await provider.create(order("gpu/501"), signal());
    await expect(provider.create(order("gpu/502"), signal())).rejects.toMatchObject({
      reason: "rate_limited",
      retryAfterMs: expect.closeTo(4500, -3) as number,
    });
    expect(cloud.count("create")).toBe(1);
  });

  it("rests a while after a 429 that says nothing of when to call again", async () => {
    const provider = await vastHere();
    cloud.faults.list = ["too many"];
    await expect(provider.list(signal())).rejects.toMatchObject({ reason: "rate_limited", retryAfterMs: 15_000 });
  });
});
