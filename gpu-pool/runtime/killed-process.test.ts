/** A process that the pool kills, until the system has taken it away. With a sick driver it may never do so. */
import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { afterAll, expect, test, vi } from "vitest";
import { createHandClock } from "../../test/unit/hand-clock.ts";
import { encodeFrame } from "./frames.ts";
import { ModelProcess } from "./model-process.ts";
import type { Death } from "./model-process.ts";

const { spawn } = vi.hoisted(() => ({ spawn: vi.fn() }));
vi.mock("node:child_process", () => ({ spawn, execFile: vi.fn() }));

const folder = mkdtempSync(join(tmpdir(), "edgeplane-killed-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The pool's end of a pipe: nobody reads what is written to it. */
const pipe = (): Duplex => new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });

/** A process with two slots that is ready, and that no signal ends. */
async function startStuck() {
  const { clock, pass } = createHandClock();
  const pipes = Array.from({ length: 6 }, pipe);
  const [, stdout, stderr, control] = pipes;
  spawn.mockReturnValue(Object.assign(new EventEmitter(), { pid: undefined, stdio: pipes, stdout, stderr, kill() {} }));
  const deaths: Death[] = [];
  const process = new ModelProcess({
    ...{ python: "python3", env: {}, modelDir: folder, childPath: folder, childModule: "m", slots: 2, jail: null },
    ...{ setupTimeoutMs: 1000, silenceMs: 5000, progressMs: null, healthEveryMs: 60_000, cudaVisibleDevices: "0" },
    scratchDir: join(folder, "scratch"),
    clock,
    onLoaded() {},
    onReady() {},
    onSlotMessage() {},
    onPrinted() {},
    onGone: (death) => void deaths.push(death),
  });
  control?.push(encodeFrame('{"type":"ready","setupSeconds":0}'));
  await expect.poll(() => process.state).toBe("ready");
  return { process, deaths, pass };
}

test("a process that is being killed takes no more work: who came meanwhile would be blamed for its end", async () => {
  const { process } = await startStuck();
  process.run({ type: "run", batch: 1, items: [] });
  expect(process.freeSlots).toBe(1);
  process.kill("it gave no sign of life");
  expect([process.freeSlots, process.takesAhead]).toEqual([0, false]);
});

test("the pool gives up a process that hangs in its driver, and another runs what it had", async () => {
  const { process, deaths, pass } = await startStuck();
  process.run({ type: "run", batch: 1, items: [] });
  for (let seconds = 0; seconds < 60 && deaths.length === 0; seconds += 1) pass(1000);
  expect(deaths).toMatchObject([{ hung: true, wasReady: true, expected: false }]);
  expect(deaths[0]?.why).toContain("it gave no sign of life for 5 s");
  expect(process.state).toBe("defunct");
});
