import { describe, expect, it, vi } from "vitest";
import { buildSnapshot } from "../../plugins/kernel/snapshot.ts";
import { SettingsSchema } from "./schema.ts";
import type { NumberedSettings } from "./schema.ts";
import type { Refresh } from "./settings-object.ts";
import { createSnapshots } from "./snapshots.ts";

/** An isolate over a settings object that publishes, and that can be away. */
function isolate(serveStaleS = 60) {
  const world = {
    now: 1_000_000,
    number: 1,
    isAway: false,
    readMs: 0,
    reads: [] as Refresh[],
    disposed: [] as number[],
  };
  const work: Promise<unknown>[] = [];
  const numbered = (): NumberedSettings => ({
    number: world.number,
    settings: SettingsSchema.parse({ plugins: {}, serve_stale_s: serveStaleS }),
  });
  const snapshots = createSnapshots({
    now: () => world.now,
    async read(refresh) {
      world.reads.push(refresh);
      if (world.isAway) throw new Error("away");
      const answer = refresh.number === world.number ? null : numbered();
      world.now += world.readMs;
      return answer;
    },
    async build({ number }) {
      const snapshot = await buildSnapshot(number, [], {}, {});
      return { ...snapshot, dispose: async () => void world.disposed.push(number) };
    },
    background: (one) => void work.push(one),
  });
  const use = async () => {
    const lease = await snapshots.lease();
    lease.release();
    return lease.snapshot.version;
  };
  return { world, snapshots, use, settle: () => Promise.all(work.splice(0)) };
}

describe("the snapshot of an isolate", () => {
  it("is read anew behind a request when it is 2.5 s old, and before one when it is 5 s old", async () => {
    const { world, use, settle } = isolate();
    expect(await use()).toBe(1);
    world.number = 2;
    world.now += 2499;
    expect([await use(), world.reads.length]).toEqual([1, 1]);
    world.now += 1;
    expect(await use()).toBe(1);
    await settle();
    expect([await use(), world.reads.length]).toEqual([2, 2]);
    world.number = 3;
    world.now += 5000;
    expect(await use()).toBe(3);
  });

  it("counts its age from when a read began", async () => {
    const { world, use } = isolate();
    world.readMs = 3000;
    await use();
    world.number = 2;
    world.now += 2000;
    expect(await use()).toBe(2);
  });

  it("asks once a second at most while nothing is waited for", async () => {
    const { world, use } = isolate();
    await use();
    world.now += 2500;
    for (let count = 0; count < 50; count += 1) await use();
    expect(world.reads).toHaveLength(2);
  });
});

describe("a snapshot that is over", () => {
  it("goes once, and not only when a request whose client has left gives it back, which it never does", async () => {
    const { world, snapshots, use, settle } = isolate();
    const lost = await snapshots.lease();
    for (const number of [2, 3]) {
      world.number = number;
      world.now += 5000;
      await use();
    }
    expect(world.disposed).toEqual([2]);
    world.now += 600_000;
    await use();
    await settle();
    expect(world.disposed).toEqual([2, 1]);
    lost.release();
    world.now += 600_000;
    await use();
    await settle();
    expect(world.disposed).toEqual([2, 1]);
  });
});

describe("while the settings object is away", () => {
  it("the last snapshot holds for as long as it says, and it is counted", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { world, use } = isolate(60);
    await use();
    world.isAway = true;
    world.now += 5000;
    expect([await use(), await use(), await use()]).toEqual([1, 1, 1]);
    expect(world.reads).toHaveLength(2);
    world.now += 59_999;
    expect(await use()).toBe(1);
    world.now += 1;
    await expect(use()).rejects.toMatchObject({ code: "unavailable", status: 503 });
    world.now += 1000;
    world.isAway = false;
    expect(await use()).toBe(1);
    expect(world.reads.at(-1)).toEqual({ number: 1, staleServed: 4 });
    world.now += 5000;
    await use();
    expect(world.reads.at(-1)).toEqual({ number: 1, staleServed: 0 });
  });

  it("nothing is served beyond 5 s where it says 0", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { world, use } = isolate(0);
    await use();
    world.isAway = true;
    world.now += 4999;
    expect(await use()).toBe(1);
    world.now += 1;
    await expect(use()).rejects.toMatchObject({ code: "unavailable" });
  });

  it("a new isolate refuses", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { world, use } = isolate();
    world.isAway = true;
    await expect(use()).rejects.toMatchObject({ code: "unavailable" });
    world.isAway = false;
    world.now += 1000;
    expect(await use()).toBe(1);
  });
});

describe("a request under way", () => {
  it("keeps its snapshot, which is given up when the last one has ended", async () => {
    const { world, snapshots, use, settle } = isolate();
    const [first, second] = [await snapshots.lease(), await snapshots.lease()];
    world.number = 2;
    world.now += 5000;
    expect(await use()).toBe(2);
    expect(first.snapshot.version).toBe(1);
    first.release();
    await settle();
    expect(world.disposed).toEqual([]);
    second.release();
    await settle();
    expect(world.disposed).toEqual([1]);
  });

  it("gives up a snapshot that another request had built, too", async () => {
    const { world, use, settle } = isolate();
    expect(await Promise.all([use(), use(), use()])).toEqual([1, 1, 1]);
    await settle();
    expect(world.disposed).toEqual([1, 1]);
    expect(await use()).toBe(1);
  });
});
