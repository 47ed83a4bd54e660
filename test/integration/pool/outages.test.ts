/**
 * The edge goes away, the pool is killed, events get lost: nothing is lost, nothing runs twice without being counted.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as z from "zod";
import { startStopwatch } from "../../stalls.ts";
import { hasBegun, held, ranOnce, roomOf, startFixture } from "./fixture.ts";
import type { Fixture } from "./fixture.ts";
import { PROCESSES } from "./fake-edge.ts";
import type { Tracked } from "./fake-edge.ts";

/** Whether a process has ended, be it waited for or not. */
function isGone(pid: number): boolean {
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}

async function submitRunning(fixture: Fixture, act: string): Promise<Tracked> {
  const { edge } = fixture;
  const ref = await fixture.ref("single");
  const warm = edge.submit(ref, { do: "warm" });
  await edge.until(() => warm.terminal !== null);
  const tracked = edge.submit(ref, { do: act });
  // The edge counts the start as it grants: the model says when it has begun.
  await edge.until(() => hasBegun(tracked));
  return tracked;
}

const spooled = (fixture: Fixture): string[] =>
  readdirSync(join(fixture.home.state, "spool")).filter((name) => name.endsWith(".json"));

test("a result that the edge could not take is kept, and delivered within 2 s of its return", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const run = held(fixture);
  const tracked = await submitRunning(fixture, run.act);
  await edge.goAway();
  run.letEnd();
  await expect.poll(() => spooled(fixture).length).toBe(1);
  using watch = startStopwatch(PROCESSES);
  await edge.comeBack();
  await edge.until(() => tracked.terminal?.type === "succeeded");
  await edge.until(() => edge.hellos.length > 1);
  expect(watch.ms()).toBeLessThan(2000);
  const next = edge.submit(await fixture.ref("single"), { do: "next" });
  await edge.until(() => next.terminal !== null, 2000);
  expect(tracked.starts).toBe(1);
  expect(spooled(fixture)).toEqual([]);
});

test("a stream that outgrows an outage says that chunks were dropped, and its output is whole", async () => {
  await using fixture = await startFixture(["flood"]);
  const { edge, home } = fixture;
  const [begin, done] = [join(home.state, "begin"), join(home.state, "done")];
  const tracked = edge.submit(await fixture.ref("flood"), { begin, done }, { stream: true });
  const of = (wanted: string) => tracked.events.filter(({ type }) => type === wanted);
  await edge.until(() => of("output").length === 1);
  await edge.goAway();
  writeFileSync(begin, "");
  await expect.poll(() => existsSync(done)).toBe(true);
  await edge.comeBack();
  await edge.until(() => tracked.terminal !== null);
  const chunks = of("output").map((event) => (event.type === "output" ? String(event.chunk).trim() : ""));
  expect(chunks).toEqual(["first", ...Array.from({ length: chunks.length - 1 }, (_, index) => String(index))]);
  expect(chunks.length).toBeLessThan(80);
  expect(JSON.stringify(of("log"))).toContain("chunks of the output were dropped from here on");
  const key = tracked.terminal?.type === "succeeded" ? (tracked.terminal.outputBlob ?? "") : "";
  const output = z.array(z.string()).parse(JSON.parse(edge.blobs.get(key)?.toString() ?? "null"));
  expect(output.map((chunk) => chunk.trim())).toEqual(["first", ...Array.from({ length: 80 }, (_, n) => String(n))]);
});

test("a pool that is killed leaves no process behind, not those either that a model started", async () => {
  await using fixture = await startFixture(["helped"]);
  const { edge, pool } = fixture;
  const tracked = edge.submit(await fixture.ref("helped"), {});
  await edge.until(() => tracked.terminal !== null);
  const helper = tracked.terminal?.type === "succeeded" ? Number(tracked.terminal.output) : 0;
  expect(isGone(helper)).toBe(false);
  await pool.kill("SIGKILL");
  await expect.poll(() => isGone(helper)).toBe(true);
});

test("kept results outlive the pool", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const run = held(fixture);
  const first = await submitRunning(fixture, run.act);
  const second = edge.submit(await fixture.ref("single"), { do: "sleep 1" });
  await edge.until(() => second.starts > 0);
  await edge.goAway();
  run.letEnd();
  await expect.poll(() => spooled(fixture).length).toBe(2);
  await fixture.pool.kill("SIGKILL");
  await edge.comeBack();
  fixture.restart();
  await edge.until(() => first.terminal?.type === "succeeded" && second.terminal?.type === "succeeded", 10_000);
  expect([ranOnce(first), ranOnce(second)]).toEqual([true, true]);
});

test("after a SIGKILL the next pool hands back at once what the last one held", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const run = held(fixture);
  const tracked = await submitRunning(fixture, run.act);
  const waiting = edge.submit(await fixture.ref("single"), { do: "x" });
  const journal = (): string => readFileSync(join(fixture.home.state, "held.jsonl"), "utf8");
  await edge.until(() => waiting.starts > 0 && journal().includes(`"waits":["${waiting.token}"`));
  await fixture.pool.kill("SIGKILL");
  const restarted = fixture.restart();
  await expect.poll(() => restarted.output(), { interval: 10 }).toContain("handing over");
  await edge.until(() => tracked.row.losses === 1, 1500);
  run.letEnd();
  await edge.until(() => tracked.terminal?.type === "succeeded" && waiting.terminal?.type === "succeeded");
  expect(tracked.starts).toBe(2);
  // It only waited there.
  expect(waiting.row.losses).toBe(0);
});

test("sends again what the edge misses, and waits when told to", async () => {
  await using fixture = await startFixture(["stream"]);
  const { edge } = fixture;
  let lost = 0;
  edge.behaviour.onEvents = (events) => {
    if (events.length === 0 || lost >= 3) return null;
    lost += 1;
    const claims = new Map(events.map((event) => [event.token, event]));
    const verdict = lost === 1 ? ("later" as const) : ("resend" as const);
    return [...claims.values()].map(({ id, token }) => ({
      id,
      token,
      verdict,
      next: edge.predictions.get(id)?.nextSeq ?? 0,
    }));
  };
  const tracked = edge.submit(await fixture.ref("stream"), { count: 4 }, { stream: true });
  await edge.until(() => tracked.terminal?.type === "succeeded");
  expect(lost).toBe(3);
  expect(tracked.events.map(({ seq }) => seq)).toEqual(tracked.events.map((_, index) => index));
});

test("stops what another pool has: its model is free for the next", async () => {
  await using fixture = await startFixture(["single"], ["--cancel-grace-ms", "300"]);
  const { edge } = fixture;
  const stale = await submitRunning(fixture, "talk 30");
  edge.core.giveToAnother(stale);
  const next = edge.submit(await fixture.ref("single"), { do: "x" });
  await edge.until(() => next.terminal?.type === "succeeded", 5000);
  expect(stale.terminal).toBeNull();
});

test("a result that the edge refuses as wrong fails only its own prediction", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const ref = await fixture.ref("single");
  edge.behaviour.onEvents = (events) =>
    events.some((event) => event.type === "succeeded" && event.output === "bad") ? 400 : null;
  const all = ["a", "bad", "b", "c"].map((act) => edge.submit(ref, { do: act }));
  await edge.until(() => all.every(({ terminal }) => terminal !== null));
  expect(all.map(({ terminal }) => terminal?.type)).toEqual(["succeeded", "failed", "succeeded", "succeeded"]);
});

test("drains: hands back what waits, finishes what runs, exits with 0", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const run = held(fixture);
  const running = await submitRunning(fixture, run.act);
  const ref = await fixture.ref("single");
  const waiting = edge.submit(ref, { do: "waits" });
  await edge.until(() => waiting.token !== null);
  const exited = fixture.pool.kill("SIGTERM");
  await edge.until(() => waiting.events.at(-1)?.type === "released");
  run.letEnd();
  expect(await exited).toBe(0);
  expect(running.terminal).toMatchObject({ type: "succeeded" });
  expect(waiting.events.at(-1)).toMatchObject({ type: "released", reason: "drain" });
  const last = edge.messages.slice(edge.messages.findIndex(({ type }) => type === "draining"));
  const lanes = last.flatMap((message) => (message.type === "room" ? message.lanes : []));
  expect(lanes.flatMap(({ models }) => models)).toEqual([]);
  const ended = lanes.flatMap((lane) => lane.ended.map(({ id }) => id));
  expect(ended).toEqual(expect.arrayContaining([running.id, waiting.id]));
  fixture.restart();
  await edge.until(() => waiting.terminal?.type === "succeeded");
});

test("a signal that comes twice at once, as to a group of processes, drains", async () => {
  await using fixture = await startFixture(["single"]);
  const running = await submitRunning(fixture, "sleep 1");
  // Nothing is awaited in between: a second later it would be another signal.
  const exited = fixture.pool.kill("SIGTERM");
  fixture.pool.process.kill("SIGHUP");
  fixture.pool.process.kill("SIGINT");
  expect(await exited).toBe(0);
  await expect.poll(() => fixture.pool.output()).toContain('"draining"');
  expect(running.terminal).toMatchObject({ type: "succeeded" });
});

/** A signal that comes this much later is another one: the pool's own clock says so, and nothing tells when. */
const ANOTHER_SIGNAL_MS = 1100;

test("a second signal, a second later, ends it at once", async () => {
  await using fixture = await startFixture(["single"]);
  const running = await submitRunning(fixture, "sleep 30");
  const exited = fixture.pool.kill("SIGTERM");
  await expect.poll(() => fixture.pool.output(), { interval: 10 }).toContain('"draining"');
  await new Promise((resolve) => setTimeout(resolve, ANOTHER_SIGNAL_MS));
  fixture.pool.process.kill("SIGINT");
  // Long before the run is over: drained, it would be 0.
  expect(await exited).toBe(1);
  expect(running.terminal).toBeNull();
});

test("a channel that is open at one end only is given up within seconds, and what was on it comes again", async () => {
  await using fixture = await startFixture(["single"], [], { leaseMs: 15_000 });
  const { edge } = fixture;
  const ref = await fixture.ref("single");
  const warm = edge.submit(ref, { do: "warm" });
  await edge.until(() => warm.terminal !== null);
  await edge.until(() => (roomOf(edge, "single")?.startNow ?? 0) > 1);
  edge.behaviour.isHalfOpen = true;
  const tracked = edge.submit(ref, { do: "x" });
  expect(tracked.row.state).toBe("running");
  await expect.poll(() => fixture.pool.output()).toContain("can't be reached");
  edge.behaviour.isHalfOpen = false;
  await edge.until(() => tracked.terminal?.type === "succeeded", 8000);
  expect(tracked.row.losses).toBe(0);
});

test("holds its lease by pings, and by empty events when the channel is down", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  await edge.until(() => (edge.counts["ping"] ?? 0) > 0);
  const events = (): number => edge.counts["pool/v1/events"] ?? 0;
  const before = events();
  edge.behaviour.connectStatus = 503;
  edge.dropChannels();
  await expect.poll(events).toBeGreaterThan(before);
});
