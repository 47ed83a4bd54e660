/** One bad input harms only itself, and a process that dies, hangs or never starts harms nobody for long. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { collectEnvironments } from "../../../gpu-pool/runtime/environments/collect.ts";
import { startStopwatch } from "../../stalls.ts";
import { hasBegun, held, modelPids, ranOnce, roomOf, startFixture } from "./fixture.ts";
import type { Fixture } from "./fixture.ts";
import { PROCESSES } from "./fake-edge.ts";
import type { Tracked } from "./fake-edge.ts";

async function submitBatch(fixture: Fixture, acts: string[]): Promise<Tracked[]> {
  const ref = await fixture.ref("batch");
  const warm = fixture.edge.submit(ref, { do: "warm" });
  await fixture.edge.until(() => warm.terminal !== null);
  return acts.map((act) => fixture.edge.submit(ref, { do: act }));
}

const ended = (all: Tracked[]) => (): boolean => all.every(({ terminal }) => terminal !== null);

test("a batch that raises is halved until the culprit is alone", async () => {
  await using fixture = await startFixture(["batch"]);
  const all = await submitBatch(fixture, ["a", "b", "raise", "c", "d", "e", "f", "g"]);
  await fixture.edge.until(ended(all));
  expect(all.map(({ terminal }) => terminal?.type)).toEqual([
    "succeeded",
    "succeeded",
    "failed",
    "succeeded",
    "succeeded",
    "succeeded",
    "succeeded",
    "succeeded",
  ]);
  expect(all[2]?.terminal).toMatchObject({ kind: "model", error: { code: "model_error", message: "told to raise" } });
  expect(fixture.edge.violations).toEqual([]);
});

test("a poison input that kills its process fails alone; its batch mates finish", async () => {
  await using fixture = await startFixture(["batch"]);
  const all = await submitBatch(fixture, ["a", "die", "b", "c", "d", "e", "f", "g"]);
  await fixture.edge.until(ended(all), 20_000);
  expect(all.map(({ terminal }) => terminal?.type).filter((type) => type === "succeeded")).toHaveLength(7);
  expect(all[1]?.terminal).toMatchObject({ type: "failed", kind: "crash", error: { code: "model_crashed" } });
  expect(all[1]?.starts).toBeGreaterThanOrEqual(3);
});

test("what ran side by side when its process died runs side by side again", async () => {
  await using fixture = await startFixture(["side-by-side"]);
  const { edge } = fixture;
  const ref = await fixture.ref("side-by-side");
  const warm = edge.submit(ref, { do: "warm" });
  await edge.until(ended([warm]));
  const all = Array.from({ length: 8 }, () => edge.submit(ref, { do: "x" }));
  await edge.until(() => all.every(hasBegun));
  const [pid] = await modelPids(fixture.pool);
  process.kill(pid ?? 0, "SIGKILL");
  await edge.until(ended(all), 20_000);
  expect(all.map(({ terminal }) => terminal?.type === "succeeded" && terminal.output)).toEqual(
    Array.from(all, () => 4),
  );
});

test("an instance that a suspect has to itself, or that comes to rest for one, has no room for others", async () => {
  await using fixture = await startFixture(["side-by-side"]);
  const { edge } = fixture;
  const ref = await fixture.ref("side-by-side");
  const room = () => roomOf(edge, "side-by-side")?.room ?? 0;
  const run = held(fixture);
  const others = edge.submit(ref, { do: run.act });
  await edge.until(() => hasBegun(others) && room() > 0);
  const suspect = edge.submit(ref, { do: "x" }, { alone: true });
  edge.core.push(edge.hellos.at(-1)?.session ?? "", suspect);
  await edge.until(() => suspect.token !== null && room() === 0, 5000);
  run.letEnd();
  await edge.until(() => hasBegun(suspect));
  expect(room()).toBe(0);
  await edge.until(() => suspect.terminal?.type === "succeeded" && room() > 0);
});

test("kill -9 of a model process: what ran alone is reported at once and runs again", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const tracked = edge.submit(await fixture.ref("single"), { do: "sleep 1" });
  await edge.until(() => hasBegun(tracked));
  const [pid] = await modelPids(fixture.pool);
  using watch = startStopwatch(PROCESSES);
  process.kill(pid ?? 0, "SIGKILL");
  await edge.until(() => tracked.terminal?.type === "succeeded");
  expect(watch.ms()).toBeLessThan(3500);
  expect(tracked.events.some((event) => event.type === "failed" && event.kind === "crash")).toBe(true);
});

test("a process whose model says that it is unhealthy is replaced, once nothing runs in it", async () => {
  await using fixture = await startFixture(["sick"], ["--health-every-ms", "100"]);
  const { edge } = fixture;
  const run = async (act: string) => {
    const tracked = edge.submit(await fixture.ref("sick"), { do: act });
    await edge.until(() => tracked.terminal !== null);
    return tracked.terminal?.type === "succeeded" ? tracked.terminal.output : null;
  };
  const first = await run("fine");
  await expect.poll(async () => Number(await run("checks"))).toBeGreaterThan(1);
  expect(await run("raise")).toBe(first);
  await expect.poll(() => fixture.pool.output()).toContain("it is unhealthy: the card fell off the bus");
  expect(await run("fine")).not.toBe(first);
  expect(edge.violations).toEqual([]);
});

test("a model is not asked how it is before its setup is over", async () => {
  await using fixture = await startFixture(["wakes"], ["--health-every-ms", "100"]);
  const { edge } = fixture;
  const tracked = edge.submit(await fixture.ref("wakes"), {});
  await edge.until(() => tracked.terminal !== null);
  expect(tracked.terminal).toMatchObject({ type: "succeeded", output: "awake" });
  expect(fixture.pool.output()).not.toContain("unhealthy");
});

test("work that comes while an idle process leaves waits for it to be gone, and runs in one new process", async () => {
  await using fixture = await startFixture(["lingers"], ["--idle-stop-ms", "300", "--log-model-output"]);
  const { edge } = fixture;
  const run = async () => {
    const tracked = edge.submit(await fixture.ref("lingers"), {});
    await edge.until(() => tracked.terminal !== null);
    return tracked.terminal?.type === "succeeded" ? tracked.terminal.output : null;
  };
  const first = await run();
  await expect.poll(() => fixture.pool.output(), { interval: 10 }).toContain("leaving");
  const second = await run();
  expect(second).not.toBe(first);
  expect(() => process.kill(Number(first), 0)).toThrow("ESRCH");
  expect(await modelPids(fixture.pool)).toEqual([Number(second)]);
});

test("cancels what waits and what runs, and kills what does not listen", async () => {
  await using fixture = await startFixture(["single"], ["--cancel-grace-ms", "300"]);
  const { edge } = fixture;
  const ref = await fixture.ref("single");
  const warm = edge.submit(ref, { do: "warm" });
  await edge.until(() => warm.terminal !== null);
  const running = edge.submit(ref, { do: "sleep 30" });
  const queued = edge.submit(ref, { do: "sleep 30" });
  await edge.until(() => hasBegun(running) && queued.starts > 0);
  edge.cancel(queued);
  edge.cancel(running);
  const next = edge.submit(ref, { do: "hold 30" });
  await edge.until(() => hasBegun(next));
  edge.cancel(next);
  const last = edge.submit(ref, { do: "fine" });
  await edge.until(() => last.terminal !== null, 5000);
  expect(last.terminal).toMatchObject({ type: "succeeded" });
});

test("a canceled prediction that does not listen holds up nobody behind it", async () => {
  await using fixture = await startFixture(["serial"], ["--cancel-grace-ms", "300"]);
  const { edge } = fixture;
  const ref = await fixture.ref("serial");
  const warm = edge.submit(ref, { do: "warm" });
  await edge.until(() => warm.terminal !== null);
  const [first, second] = ["hold 30", "fine"].map((act) => edge.submit(ref, { do: act }));
  await edge.until(() => first !== undefined && hasBegun(first) && (second?.starts ?? 0) > 0);
  if (first !== undefined) edge.cancel(first);
  await edge.until(() => second?.terminal?.type === "succeeded", 5000);
  expect(second !== undefined && ranOnce(second)).toBe(true);
});

test("a prediction that runs out of time fails so, though its model does not listen", async () => {
  await using fixture = await startFixture(["single", "slow"], ["--cancel-grace-ms", "300"]);
  const { edge } = fixture;
  const [single, slow] = [await fixture.ref("single"), await fixture.ref("slow")];
  const warm = edge.submit(single, { do: "warm" });
  await edge.until(() => warm.terminal !== null);
  // Long enough to have begun before, also on a slow machine.
  const byEdge = edge.submit(single, { do: "hold 30" }, { endInMs: 5000 });
  const byModel = edge.submit(slow, { do: "sleep 30" });
  await edge.until(() => byEdge.terminal !== null && byModel.terminal !== null);
  const timedOut = { type: "failed", kind: "timeout", error: { code: "timed_out" } };
  expect(byEdge.terminal).toMatchObject(timedOut);
  expect(byModel.terminal).toMatchObject(timedOut);
});

test("a batch that is halved has the model's whole time again", async () => {
  await using fixture = await startFixture(["halves"]);
  const { edge } = fixture;
  const ref = await fixture.ref("halves");
  const warm = edge.submit(ref, { do: "warm" });
  await edge.until(() => warm.terminal !== null);
  const all = ["sleep 1", "raise"].map((act) => edge.submit(ref, { do: act }));
  await edge.until(ended(all));
  expect(all[0]?.terminal).toMatchObject({ type: "succeeded", output: "sleep 1" });
  expect(all[1]?.terminal).toMatchObject({ type: "failed", error: { message: "told to raise" } });
});

test("a model that can't be set up fails its predictions, with the reason; others run", async () => {
  await using fixture = await startFixture(["broken", "dies", "single"]);
  const { edge } = fixture;
  const broken = edge.submit(await fixture.ref("broken"), {});
  const dies = edge.submit(await fixture.ref("dies"), {});
  const fine = edge.submit(await fixture.ref("single"), { do: "fine" });
  await edge.until(() => broken.terminal !== null && dies.terminal !== null && fine.terminal !== null, 15_000);
  for (const { terminal, events, row } of [broken, dies]) {
    expect(terminal).toMatchObject({ type: "failed", error: { code: "setup_failed" } });
    expect(events).toMatchObject([{ type: "released", reason: "setup" }]);
    expect(row.losses).toBe(0);
  }
  expect(JSON.stringify(broken.terminal)).toContain("RuntimeError: no weights here");
  expect(JSON.stringify(dies.events)).toContain("about to die");
  expect(fine.terminal).toMatchObject({ type: "succeeded" });
  const at = `http://127.0.0.1:${await fixture.pool.port()}`;
  const models = await (await fetch(`${at}/models`)).text();
  expect(models).toContain("RuntimeError: no weights here");
  expect(models).toContain("about to die");
  const metrics = await (await fetch(`${at}/metrics`)).text();
  expect(metrics).toContain('edgeplane_pool_model_broken{model="local/broken"} 1');
  expect(metrics).toContain('edgeplane_pool_model_broken{model="local/single"} 0');
});

test("a set-up that failed is not tried again and again, whatever is granted to this host", async () => {
  await using fixture = await startFixture(["broken"]);
  const { edge, pool } = fixture;
  const ref = await fixture.ref("broken");
  const first = edge.submit(ref, {});
  await edge.until(() => first.terminal !== null);
  expect(roomOf(edge, "broken")?.room).toBe(0);
  expect(roomOf(edge, "broken")?.problem).toContain("no weights here");
  const session = edge.hellos[0]?.session ?? "";
  const more = Array.from({ length: 5 }, () => edge.submit(ref, {}, { lane: "default" }));
  for (const one of more) edge.core.push(session, one);
  await edge.until(() => more.every(({ terminal }) => terminal !== null));
  await expect.poll(() => pool.output().match(/could not be set up/g)).toHaveLength(1);
});

/** A python3 whose pip does as `pip` says, a line of shell, and a folder for environments. */
function withPip(pip: string) {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-pip-"));
  const python = join(folder, "python3");
  writeFileSync(
    python,
    `#!/bin/sh
case "$*" in
  *"-m pip --version"*) echo "pip 24.0" ;;
  *"-m pip"*) ${pip} ;;
  *"import sys; print"*) echo ${python}; python3 "$@" | tail -n +2 ;;
  *) exec python3 "$@" ;;
esac
`,
    { mode: 0o755 },
  );
  const kept = join(folder, "environments");
  return {
    kept,
    env: { EDGEPLANE_PYTHON: python, EDGEPLANE_UV: "", EDGEPLANE_ENVIRONMENTS_DIR: kept },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

test("a disk that is full when a model's packages are installed is the host's trouble, not the prediction's", async () => {
  using full = withPip(`echo "ERROR: [Errno 28] No space left on device"; exit 1`);
  await using fixture = await startFixture(["packed"], [], { env: full.env });
  const { edge } = fixture;
  const tracked = edge.submit(await fixture.ref("packed"), {});
  await edge.until(() => tracked.terminal !== null, 20_000);
  expect(tracked.events).toMatchObject([{ type: "released", reason: "setup" }]);
  expect(JSON.stringify(tracked.events)).toContain("The disk is full, so the environment");
  expect(readdirSync(full.kept)).toEqual([expect.stringMatching(/\.lock$/)]);
});

test("an environment stays as long as a process of any pool runs in it; a start takes away what was left half-built", async () => {
  using pip = withPip("exit 0");
  const left = join(pip.kept, "3.11-x64-0123.01234567");
  mkdirSync(left, { recursive: true });
  await using fixture = await startFixture(["packed"], ["--idle-stop-ms", "1", "--cancel-grace-ms", "300"], {
    env: pip.env,
  });
  const { edge } = fixture;
  await expect.poll(() => existsSync(left)).toBe(false);
  const tracked = edge.submit(await fixture.ref("packed"), { do: "sleep 600" });
  await edge.until(() => hasBegun(tracked), 20_000);
  const builds = () => readdirSync(pip.kept).filter((entry) => /\.[0-9a-f]{8}$/.test(entry));
  await collectEnvironments(pip.kept, 0);
  expect(builds()).toHaveLength(1);
  edge.cancel(tracked);
  await expect.poll(async () => (await collectEnvironments(pip.kept, 0), builds())).toEqual([]);
});

test("a host that can't set a model up leaves it to one that can", async () => {
  await using fixture = await startFixture(["moody"]);
  const { edge, home } = fixture;
  writeFileSync(join(home.state, "sick"), "");
  const ref = await fixture.ref("moody");
  const sick = edge.hellos[0]?.session;
  await fixture.second();
  const all = Array.from({ length: 30 }, (_, index) => edge.submit(ref, { do: `n${index}` }));
  await edge.until(() => all.every(({ terminal }) => terminal !== null), 20_000);
  expect(all.map(({ terminal }) => terminal?.type)).toEqual(all.map(() => "succeeded"));
  expect(all.some(({ session }) => session === sick)).toBe(false);
  await expect.poll(() => fixture.pool.output().match(/could not be set up/g)).toHaveLength(1);
});

test("a host that turns sick in a burst hands everything back, and nothing fails", async () => {
  await using fixture = await startFixture(["moody"]);
  const { edge, home } = fixture;
  const ref = await fixture.ref("moody");
  await fixture.second();
  const warm = Array.from({ length: 4 }, () => edge.submit(ref, { do: "warm" }));
  await edge.until(() => warm.every(({ terminal }) => terminal !== null));
  const all = Array.from({ length: 40 }, (_, index) => edge.submit(ref, { do: `n${index}` }));
  await edge.until(() => all.filter(({ terminal }) => terminal !== null).length > 5);
  writeFileSync(join(home.state, "sick"), "");
  await edge.until(() => all.every(({ terminal }) => terminal !== null), 25_000);
  expect(all.map(({ terminal }) => terminal?.type)).toEqual(all.map(() => "succeeded"));
});
