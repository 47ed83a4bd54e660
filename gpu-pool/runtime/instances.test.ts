/** A model whose processes die in a row, as all that see it are told. */
import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, expect, test, vi } from "vitest";
import { createHandClock } from "../../test/unit/hand-clock.ts";
import { encodeFrame } from "./frames.ts";
import { Instances } from "./instances.ts";

const { spawn } = vi.hoisted(() => ({ spawn: vi.fn() }));
vi.mock("node:child_process", () => ({ spawn, execFile: vi.fn() }));

const folder = mkdtempSync(join(tmpdir(), "edgeplane-instances-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A process that is ready at once; `die` ends it. */
function fakeChild() {
  const pipes = Array.from({ length: 5 }, () => new PassThrough());
  const child = Object.assign(new EventEmitter(), { pid: undefined, stdio: pipes, kill() {} });
  const [, stdout, stderr, control] = pipes;
  const die = (): void => {
    child.emit("exit", 9, null);
    child.emit("close");
  };
  setImmediate(() => control?.write(encodeFrame('{"type":"ready","setupSeconds":0}')));
  return { child: Object.assign(child, { stdout, stderr }), die };
}

test("processes that die again and again park it, with what they die of, until one is tried again", async () => {
  const { clock, pass } = createHandClock();
  const started: ReturnType<typeof fakeChild>[] = [];
  spawn.mockImplementation(() => {
    const fake = fakeChild();
    started.push(fake);
    return fake.child;
  });
  const launch = {
    ...{ python: "python3", env: {}, modelDir: folder, childPath: folder, childModule: "m", slots: 1, jail: null },
    ...{ setupTimeoutMs: 1000, silenceMs: 1000, progressMs: null, healthEveryMs: 1000, onLoaded() {} },
    scratchDir: join(folder, "scratch"),
  };
  const instances = new Instances(() => ({
    ...{ name: "m#0", slots: 1, clock, launch: async () => launch },
    ...{ onReady() {}, onSlotMessage() {}, onGone() {}, onBroken() {}, onGrew() {}, onPrinted() {} },
  }));
  instances.fit(1);
  const [instance] = instances.all;
  instance?.start(["cpu"], "cpu");
  let deaths = 0;
  while (instances.parkedBy === null && deaths < 50) {
    await expect.poll(() => instance?.state).toBe("ready");
    started.at(-1)?.die();
    deaths += 1;
    pass(0);
  }
  expect(deaths).toBe(20);
  expect(instances.parkedBy).toBe("its process dies again and again: it exited with code 9");
  if (instance !== undefined) instance.lastDeath = "x".repeat(100_000);
  expect(instances.parkedBy?.length).toBeLessThan(1024);
  pass(60_000);
  await expect.poll(() => instance?.state).toBe("ready");
  expect(instances.parkedBy).toBeNull();
});
