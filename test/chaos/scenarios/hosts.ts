/**
 * Hosts as one rents them: models that crash, memory and disks that run out, uplinks that are slow, machines that are
 * taken away. Whoever isn't to blame finishes.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { canMountDisks, smallDisk } from "../../small-disk.ts";
import { createExtraPool } from "../harness/extra-pool.ts";
import { startEventProxy } from "../harness/event-proxy.ts";
import type { Outage, Scenario } from "../harness/scenario.ts";

const MEBIBYTE = 1024 * 1024;
/** CI has a minute for it. */
const KILLING_SECONDS = Number(process.env["CHAOS_KILLING_SECONDS"] ?? 60);
/** Seldom enough that the guard against crash loops, 20 deaths a minute, stays out of it. */
const KILL_EVERY_MS = { least: 2500, most: 5000 };
/** A model that met a full disk rests for 5 s, and the suspects then run one by one. */
const DISK_LIMIT_MS = 8000;
const FULL_MS = 4000;
/** An output that goes up as a blob; the backlog that the pool may have; an uplink for ten of them a second. */
const TAIL = 300_000;
const BACKLOG_BYTES = 4 * TAIL;
const UPLINK_BYTES_PER_SECOND = 10 * TAIL;
const LONG_SECONDS = 6;

const writes = () => ({ input: { act: "write" }, fails: false });

const crashes: Scenario = {
  name: "a third of the batches crash",
  model: "trial",
  share: 0.12,
  // So close together that batches are full: of these eight one crashes in a third of them.
  loadSeconds: 1,
  job: (_key, index) => ({ input: { act: index % 24 === 7 ? "crash" : "nothing" }, fails: false }),
  async disturb(world, load) {
    await world.said(/model process died/, 0);
    await load.reached(1);
    return [];
  },
};

const memory: Scenario = {
  name: "every tenth input exhausts memory",
  model: "trial",
  share: 0.2,
  job: (_key, index) => ({ input: { act: index % 10 === 3 ? "memory" : "nothing" }, fails: index % 10 === 3 }),
  disturb: async () => [],
};

const killing: Scenario = {
  name: `instances killed at random for ${KILLING_SECONDS} s`,
  model: "trial",
  loadSeconds: KILLING_SECONDS,
  async disturb(world) {
    const untilMs = performance.now() + KILLING_SECONDS * 1000;
    while (performance.now() < untilMs) {
      const { least, most } = KILL_EVERY_MS;
      await sleep(least + Math.random() * (most - least));
      world.killModels();
    }
    return [];
  },
};

function fullDisk(): Scenario {
  let disk: ReturnType<typeof smallDisk> | null = null;
  return {
    name: "the disk of the pool fills, twice",
    model: "trial",
    share: 0.5,
    job: writes,
    async around() {
      const own = smallDisk(64);
      disk = own;
      const poolEnv = {
        EDGEPLANE_STATE_DIR: join(own.path, "pool"),
        EDGEPLANE_MIN_FREE_DISK_BYTES: String(4 * MEBIBYTE),
      };
      return { stack: { poolEnv }, end: async () => own[Symbol.dispose]() };
    },
    async disturb(world, load) {
      const outages: Outage[] = [];
      for (const share of [0.1, 0.5]) {
        await load.reached(share);
        const beganAt = Date.now();
        disk?.fill(0);
        await world.said(/this host runs short/, beganAt);
        await sleep(FULL_MS);
        disk?.empty();
        outages.push({
          what: "a full disk",
          beganAt,
          endedAt: Date.now(),
          limitMs: DISK_LIMIT_MS,
          concerns: "accepted",
        });
      }
      return outages;
    },
  };
}

function sickHost(): Scenario {
  return {
    name: "a host whose disk is full beside a healthy one",
    model: "trial",
    share: 0.5,
    // More than one host runs in that time: the sick one is asked, too.
    loadSeconds: 2,
    job: () => ({ input: { act: "write", seconds: 0.2 }, fails: false }),
    async prepare(world) {
      const disk = smallDisk(32);
      const env = { EDGEPLANE_STATE_DIR: join(disk.path, "pool"), EDGEPLANE_MIN_FREE_DISK_BYTES: "0" };
      const pool = await createExtraPool(world, "sick", world.stack.url, env);
      const since = Date.now();
      pool.start();
      await world.said(/connected to the edge/, since);
      // It takes predictions on, and none of them can write what it must.
      disk.fill(MEBIBYTE / 2);
      return async () => {
        await pool.stop();
        disk[Symbol.dispose]();
      };
    },
    async disturb(world) {
      await world.said(/a disk took no more/, 0);
      return [];
    },
  };
}

const slowUplink: Scenario = {
  name: "the uplink is slower than the model",
  model: "trial",
  share: 0.04,
  loadSeconds: 0.5,
  job: () => ({ input: { tail: TAIL }, fails: false, tail: TAIL }),
  // Each batch brings up to eight of those outputs through a pipe.
  deviceSlackMs: 10_000,
  async prepare(world) {
    const proxy = await startEventProxy(world.stack.port, { blobBytesPerSecond: UPLINK_BYTES_PER_SECOND });
    const env = { EDGEPLANE_MAX_UPLOAD_BACKLOG_BYTES: String(BACKLOG_BYTES) };
    const pool = await createExtraPool(world, "far", proxy.url, env);
    await world.stack.stopPool();
    const since = Date.now();
    pool.start();
    await world.said(/connected to the edge/, since);
    return async () => {
      await pool.stop();
      await proxy.stop();
    };
  },
  async disturb(world) {
    await world.said(/this host runs short.*wait for their upload|wait for their upload.*this host runs short/, 0);
    return [];
  },
};

/** One pool of two is told that its host goes; what runs there takes longer than short notices. */
function preempted(seconds: number, limitMs: number): Scenario {
  return {
    name: `a host is preempted with ${seconds} s notice`,
    model: "trial",
    share: 0.2,
    job: (_key, index) => ({ input: index % 40 === 0 ? { seconds: LONG_SECONDS } : {}, fails: false }),
    async prepare(world) {
      const other = await createExtraPool(world, "other", world.stack.url);
      const since = Date.now();
      other.start();
      await world.said(/connected to the edge/, since);
      return () => other.stop();
    },
    async disturb(world, load) {
      await load.reached(0.3);
      const beganAt = Date.now();
      writeFileSync(join(world.dir, "other", "drain"), String(seconds));
      const endedAt = await world.said(/pool │ died \(0\)/, beganAt);
      return [{ what: `preempted with ${seconds} s`, beganAt, endedAt, limitMs }];
    },
  };
}

export const hosts: readonly Scenario[] = [
  crashes,
  memory,
  killing,
  ...(canMountDisks ? [fullDisk(), sickHost()] : []),
  slowUplink,
  preempted(30, 4000),
  preempted(5, LONG_SECONDS * 1000 + 2000),
];
