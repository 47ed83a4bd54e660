/** The pool runs what it is granted, in batches, and reports it by the rules. */
import { expect, test } from "vitest";
import { startStopwatch } from "../../stalls.ts";
import { PROCESSES } from "./fake-edge.ts";
import { held, modelPids, ranOnce, roomOf, startFixture } from "./fixture.ts";

test("runs a prediction and reports its output, its logs and its time", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const tracked = edge.submit(await fixture.ref("single"), { do: "print" });
  await edge.until(() => tracked.terminal !== null);
  expect(tracked.terminal).toMatchObject({ type: "succeeded", output: "print" });
  expect(tracked.events.find(({ type }) => type === "log")).toMatchObject({ text: "printed here\n" });
  expect(tracked.events.map(({ seq }) => seq)).toEqual(tracked.events.map((_, index) => index));
  await edge.until(() => edge.hellos.length > 1);
  expect(edge.hellos.at(-1)?.models[0]?.schema).toHaveProperty("components.schemas.Input");
});

test("counts every start once, under load, whoever counts it", async () => {
  await using fixture = await startFixture(["single", "batch"]);
  const { edge } = fixture;
  const [single, batch] = [await fixture.ref("single"), await fixture.ref("batch")];
  const all = Array.from({ length: 150 }, (_, index) => edge.submit(index % 2 ? single : batch, { do: `n${index}` }));
  await edge.until(() => all.every(({ terminal }) => terminal !== null), 20_000);
  const outputs = all.map(({ terminal }) => (terminal?.type === "succeeded" ? terminal.output : terminal));
  expect(outputs).toEqual(all.map((_, index) => `n${index}`));
  expect(all.filter((one) => !ranOnce(one))).toEqual([]);
  expect(edge.violations).toEqual([]);
});

test("claims by itself where the log does not", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  edge.moveToKafka();
  const ref = await fixture.ref("single");
  const all = Array.from({ length: 20 }, (_, index) => edge.submit(ref, { do: `n${index}` }));
  await edge.until(() => all.every(({ terminal }) => terminal?.type === "succeeded"));
  expect(edge.counts["pool/v1/claims"]).toBeGreaterThan(0);
  expect(all.filter((one) => !ranOnce(one))).toEqual([]);
});

test.each([true, false])(
  "runs once what the log repeats within one answer (served by its lane: %s)",
  async (isServed) => {
    await using fixture = await startFixture(["single"]);
    const { edge, pool } = fixture;
    edge.behaviour.copies = 3;
    if (!isServed) edge.moveToKafka();
    const tracked = edge.submit(await fixture.ref("single"), { do: "print" });
    await edge.until(() => tracked.terminal !== null);
    const metrics = await (await fetch(`http://127.0.0.1:${await pool.port()}/metrics`)).text();
    expect(metrics).toMatch(/edgeplane_pool_granted_total\{[^}]*\} 1\n/);
    expect(metrics).toMatch(/edgeplane_pool_batch_size_count\{[^}]*\} 1\n/);
  },
);

test("streams chunks in order and ends with the whole", async () => {
  await using fixture = await startFixture(["stream"]);
  const { edge } = fixture;
  const tracked = edge.submit(await fixture.ref("stream"), { count: 5 }, { stream: true });
  await edge.until(() => tracked.terminal !== null);
  const chunks = tracked.events.flatMap((event) => (event.type === "output" ? [event.chunk] : []));
  expect(chunks).toEqual(["0 ", "1 ", "2 ", "3 ", "4 "]);
  expect(tracked.terminal).toMatchObject({ type: "succeeded", output: chunks });
});

test("hands back what it cannot run", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const ref = await fixture.ref("single");
  const other = edge.submit({ ...ref, version: "0".repeat(64) }, {});
  edge.core.push(edge.hellos[0]?.session ?? "", other);
  await edge.until(() => other.events.length > 0);
  expect(other.events[0]).toMatchObject({ type: "released", reason: "cannot_run" });
});

test("runs jobs that were lost before one after the other, and reports each start", async () => {
  await using fixture = await startFixture(["single", "batch"]);
  const { edge } = fixture;
  const ref = await fixture.ref("batch");
  const suspects = ["a", "b", "c"].map((text) => edge.submit(ref, { do: text }, { alone: true }));
  await edge.until(() => suspects.every(({ terminal }) => terminal?.type === "succeeded"));
  for (const { events } of suspects) expect(events.map(({ type }) => type)).toContain("starting");
  expect(edge.violations).toEqual([]);
});

test("an idle pool polls nothing; what it has room for comes over its channel, what waits is polled", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const ref = await fixture.ref("single");
  const polls = (): number => edge.counts["kafka/consume/lane.default"] ?? 0;
  // Its pings go on while it is idle, one a second; polls, if there were any, would come in between.
  const pings = (): number => edge.counts["ping"] ?? 0;
  const rest = async (): Promise<void> => {
    const pinged = pings();
    await edge.until(() => pings() >= pinged + 2);
  };
  const warm = edge.submit(ref, { do: "warm" });
  await edge.until(() => warm.terminal !== null);
  await edge.until(() => (roomOf(edge, "single")?.startNow ?? 0) > 1);
  // The poll that brought it is followed by one that brings nothing.
  await rest();
  const before = polls();
  const short = edge.submit(ref, { do: "x" });
  expect(short.row.state).toBe("running");
  await edge.until(() => short.terminal !== null);
  expect(polls()).toBe(before);
  const many = Array.from({ length: 50 }, () => edge.submit(ref, { do: "x" }));
  await edge.until(() => many.every(({ terminal }) => terminal !== null));
  expect(polls()).toBeGreaterThan(before);
  const after = polls();
  await rest();
  expect(polls()).toBeLessThanOrEqual(after + 1);
});

test("a grant that never came is refused from then on, and the job runs all the same, without a loss", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const ref = await fixture.ref("single");
  const warm = edge.submit(ref, { do: "warm" });
  await edge.until(() => warm.terminal !== null);
  await edge.until(() => (roomOf(edge, "single")?.startNow ?? 0) > 1);
  edge.core.losesGrants = true;
  const tracked = edge.submit(ref, { do: "x" });
  expect(tracked.row.state).toBe("running");
  await new Promise((resolve) => setImmediate(resolve));
  edge.core.losesGrants = false;
  using watch = startStopwatch(PROCESSES);
  await edge.until(() => tracked.terminal?.type === "succeeded");
  expect(watch.ms()).toBeLessThan(1500);
  expect(tracked.events[0]).toMatchObject({ type: "released", reason: "unseen" });
  expect(tracked.row.losses).toBe(0);
});

test("without room it stops consuming a Kafka and leaves its group", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  edge.moveToKafka();
  const ref = await fixture.ref("single");
  const warm = edge.submit(ref, { do: "warm" });
  await edge.until(() => warm.terminal !== null);
  const run = held(fixture);
  const leaves = (): number => edge.counts["leave"] ?? 0;
  // It may have left before, while its model was set up.
  const [before, left] = [edge.messages.length, leaves()];
  const all = Array.from({ length: 5 }, () => edge.submit(ref, { do: run.act }));
  await edge.until(() => leaves() > left);
  // What waits behind a run that takes too long is handed back later, and there is room again.
  const stated = edge.messages
    .slice(before)
    .flatMap((message) => (message.type === "room" ? message.lanes.flatMap(({ models }) => models) : []));
  expect(stated).toContainEqual(expect.objectContaining({ model: "local/single", room: 0, startNow: 0 }));
  for (const one of all.slice(1)) edge.cancel(one);
  run.letEnd();
  const next = edge.submit(ref, { do: "x" });
  await edge.until(() => next.terminal?.type === "succeeded", 20_000);
});

test("a model's backlog takes no room of another's", async () => {
  await using fixture = await startFixture(["single", "batch"]);
  const { edge } = fixture;
  const [slow, quick] = [await fixture.ref("single"), await fixture.ref("batch")];
  const warm = [edge.submit(slow, { do: "warm" }), edge.submit(quick, { do: "warm" })];
  await edge.until(() => warm.every(({ terminal }) => terminal !== null));
  // None of them ends before the other one has run.
  const run = held(fixture);
  const backlog = Array.from({ length: 20 }, () => edge.submit(slow, { do: run.act }));
  await edge.until(() => backlog.some(({ starts }) => starts > 0));
  using watch = startStopwatch(PROCESSES);
  const other = edge.submit(quick, { do: "x" });
  await edge.until(() => other.terminal?.type === "succeeded");
  expect(watch.ms()).toBeLessThan(1000);
  expect(backlog.filter(({ terminal }) => terminal !== null)).toEqual([]);
});

test("what waits behind a run that takes too long goes to a pool with a free slot", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const ref = await fixture.ref("single");
  const warm = edge.submit(ref, { do: "warm" });
  await edge.until(() => warm.terminal !== null);
  const long = edge.submit(ref, { do: held(fixture).act });
  const behind = Array.from({ length: 4 }, () => edge.submit(ref, { do: "x" }));
  for (const one of behind) edge.core.push(edge.hellos[0]?.session ?? "", one);
  await edge.until(() => behind.every(({ token }) => token !== null));
  await fixture.second();
  await edge.until(() => behind.every(({ terminal }) => terminal?.type === "succeeded"), 8000);
  expect(long.terminal).toBeNull();
  expect(behind.every(({ row }) => row.losses === 0)).toBe(true);
});

test("starts a model's process on first use, and every one at once with --warm", async () => {
  await using lazy = await startFixture(["single", "batch"]);
  expect(await modelPids(lazy.pool)).toHaveLength(0);
  await using warm = await startFixture(["single", "batch"], ["--warm"]);
  await warm.edge.until(() => warm.edge.hellos.at(-1)?.models.every(({ schema }) => schema !== null) === true);
  expect(await modelPids(warm.pool)).toHaveLength(2);
});
