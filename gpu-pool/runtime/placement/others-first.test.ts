/** Loads that fail as another program has the card's memory, of which nobody knew when they were placed. */
import { expect, test } from "vitest";
import { FakeHost } from "./fake-host.ts";

const CARD = 1000;
const THEIRS = 700;
const NEEDS = 500;

/** A card that was free when it was looked at last, and a model that waits for it. */
function hostWith(hint: number | null): FakeHost {
  const spec = { bytes: NEEDS, hint, loadMs: 100, runMs: 10, count: 1, devicesPerInstance: 1, pinned: false };
  return new FakeHost([CARD], [spec]);
}

/** Until nothing happens any more, with the looks that come from time to time. */
async function settle(host: FakeHost): Promise<void> {
  for (let looks = 0; looks < 5; looks += 1) {
    while (await host.step());
    await host.lookAgain();
  }
}

test.each([NEEDS, null])("a model (its author says %s) runs once the other program is gone", async (hint) => {
  const host = hostWith(hint);
  const [model] = host.models;
  await settle(host);
  host.others.set("0", THEIRS);
  model?.submit(1);
  await settle(host);
  expect([model?.done.size, model?.broken, model && host.placer.refusal(model)]).toEqual([0, false, null]);
  // It waits, and tries nothing that can't go well.
  const tries = host.ranOut;
  expect(tries).toBeLessThanOrEqual(3);
  await settle(host);
  expect(host.ranOut).toBe(tries);
  host.others.delete("0");
  await settle(host);
  expect(model?.done.size).toBe(1);
});

test("so does one that the other program came upon while it loaded", async () => {
  const host = hostWith(null);
  const { placer } = host;
  const [model] = host.models;
  const aboutToLoad = placer.aboutToLoad.bind(placer);
  placer.aboutToLoad = async (instance) => {
    await aboutToLoad(instance);
    host.others.set("0", THEIRS);
  };
  await settle(host);
  model?.submit(1);
  await settle(host);
  expect([model?.done.size, model?.broken, model && placer.refusal(model)]).toEqual([0, false, null]);
  placer.aboutToLoad = aboutToLoad;
  host.others.delete("0");
  await settle(host);
  expect(model?.done.size).toBe(1);
});

test.each([1, 2])(
  "what another program gave back beside %s processes is another model's, which takes all",
  async (count) => {
    const spec = { loadMs: 100, runMs: 10, count: 1, devicesPerInstance: 1, pinned: false };
    const host = new FakeHost(
      [CARD],
      [...Array<number>(count).fill(50), 950].map((bytes) => ({ ...spec, bytes, hint: bytes })),
    );
    host.others.set("0", THEIRS);
    for (const model of host.models.slice(0, count)) model.submit(1);
    await settle(host);
    host.others.delete("0");
    await settle(host);
    host.models[count]?.submit(2);
    await settle(host);
    expect(host.models.map(({ done }) => done.size)).toEqual(Array<number>(count + 1).fill(1));
  },
);
