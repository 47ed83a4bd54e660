import { describe, expect, test } from "vitest";
import { LayerHosts, offerOf, wishFor } from "../../test/layer-hosts.ts";

const world = new LayerHosts();

describe("storing", () => {
  test("goes on after the edge was away, and where another life of the pool left off", async () => {
    const [dir, wish] = [world.built(), wishFor("6")];
    const first = world.host();
    // It ends after its second chunk.
    world.stored.onStored = () => world.stored.chunks.size === 2 && first.stop();
    await world.store(dir, wish, first);
    expect([world.stored.chunks.size, world.stored.layers.size]).toEqual([2, 0]);
    const kept = new Set(world.stored.chunks.keys());
    world.stored.onStored = () => {};
    world.stored.busy = 2;
    world.stored.asked.length = 0;
    const second = await world.store(dir, wish);
    expect(second.state).toMatchObject({ stored: 1, problem: null, waiting: 0, progress: null });
    for (const sha of kept) expect(world.chunkPuts().join()).not.toContain(sha);
  });

  test("is done once, by one pool of a host, and not at all where the token may not or the owner has no room", async () => {
    const [dir, wish] = [world.built(), wishFor("5")];
    world.stored.mayStore = false;
    const reader = await world.store(dir, wish);
    reader.offer(wishFor("51"), offerOf(dir));
    await reader.settled();
    expect([world.stored.asked.length, reader.state.mayStore]).toEqual([1, false]);
    world.stored.mayStore = true;
    world.stored.refusal = 403;
    expect((await world.store(dir, wish)).state.problem).toContain("403");
    world.stored.refusal = null;
    const environmentsDir = world.newFolder("host");
    world.stored.asked.length = 0;
    const pools = [world.host({ environmentsDir }), world.host({ environmentsDir })];
    for (const pool of pools) for (const _ of [1, 2]) pool.offer(wish, offerOf(dir));
    await Promise.all(pools.map(async (pool) => pool.settled()));
    expect(pools.reduce((sum, { state }) => sum + state.stored, 0)).toBe(1);
    expect(new Set(world.chunkPuts()).size).toBe(world.chunkPuts().length);
  });

  test("waits while the host runs short, and ends with the pool", async () => {
    let isShort = true;
    const by = world.host({ isShort: () => isShort });
    by.offer(wishFor("4"), offerOf(world.built()));
    await expect.poll(() => by.state.progress).toBe("reading its files");
    expect(world.chunkPuts()).toEqual([]);
    isShort = false;
    await by.settled();
    expect(by.state.stored).toBe(1);
    isShort = true;
    by.offer(wishFor("41"), offerOf(world.built()));
    await expect.poll(() => by.state.progress).toBe("reading its files");
    by.stop();
    await by.settled();
    expect(by.state).toMatchObject({ stored: 1, problem: null });
  });

  test("keeps the environment meanwhile, and leaves one that is going", async () => {
    const dir = world.built();
    const by = world.host();
    let held = 0;
    const hold = () => {
      held += 1;
      return () => void (held -= 1);
    };
    world.stored.onStored = () => expect(held).toBe(1);
    by.offer(wishFor("3"), { ...offerOf(dir), hold });
    await by.settled();
    expect([held, by.state.stored]).toEqual([0, 1]);
    by.offer(wishFor("31"), { ...offerOf(dir), hold: () => null });
    await by.settled();
    expect(by.state.stored).toBe(1);
  });
});
