/** A process with a batch behind the one that runs: it is made ready meanwhile, and has not begun. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Tracked } from "./fake-edge.ts";
import { hasBegun, modelPids, roomOf, startFixture } from "./fixture.ts";
import type { Fixture } from "./fixture.ts";

const LONG = { timeout: 30_000, interval: 20 };

type Notes = { fixture: Fixture; folder: string; first: Tracked; second: Tracked; all(): string[] };

/**
 * One runs until the file `go` is there, and one waits behind it. On a slow machine it may be handed back after two
 * seconds, and come again: what is noted may be noted twice.
 */
async function twoOf(fixture: Fixture, name: "pipelined" | "plain", secondUntil = ""): Promise<Notes> {
  const { edge, home } = fixture;
  const ref = await fixture.ref(name);
  const folder = home.root;
  const all = (): string[] =>
    existsSync(join(folder, "notes")) ? readFileSync(join(folder, "notes"), "utf8").trim().split("\n") : [];
  const first = edge.submit(ref, { name: "first", folder, until: "go" });
  await until(() => all().includes("began first"));
  const second = edge.submit(ref, { name: "second", folder, until: secondUntil });
  return { fixture, folder, first, second, all };
}

async function metricsOf({ pool }: Fixture): Promise<string> {
  return (await fetch(`http://127.0.0.1:${await pool.port()}/metrics`)).text();
}

async function until(condition: () => boolean): Promise<void> {
  await expect.poll(condition, LONG).toBe(true);
}

test("is prepared while another runs, begins after it, and takes the room of one that waits", async () => {
  await using fixture = await startFixture(["pipelined"]);
  const { folder, first, second, all } = await twoOf(fixture, "pipelined");
  await until(() => all().includes("prepared second"));
  expect([first.terminal, all().includes("began second")]).toEqual([null, false]);
  await expect.poll(() => metricsOf(fixture), LONG).toContain('edgeplane_pool_waiting{model="local/pipelined"} 1\n');
  await fixture.edge.until(() => roomOf(fixture.edge, "pipelined")?.room === 0);
  writeFileSync(join(folder, "go"), "");
  await fixture.edge.until(() => first.terminal !== null && second.terminal !== null);
  expect([first, second].map(({ terminal }) => terminal)).toMatchObject([
    { type: "succeeded", output: "first" },
    { type: "succeeded", output: "second" },
  ]);
  expect([...new Set(all())]).toEqual(["prepared first", "began first", "prepared second", "began second"]);
  expect(fixture.edge.violations).toEqual([]);
});

test("without it a model prepares a batch when it begins, and gets the same", async () => {
  await using fixture = await startFixture(["plain"]);
  const { folder, first, second, all } = await twoOf(fixture, "plain");
  writeFileSync(join(folder, "go"), "");
  await fixture.edge.until(() => first.terminal !== null && second.terminal !== null);
  expect(second.terminal).toMatchObject({ type: "succeeded", output: "second" });
  expect([...new Set(all())]).toEqual(["prepared first", "began first", "prepared second", "began second"]);
});

test("is innocent of the death of the process that it waits in, and runs once", async () => {
  await using fixture = await startFixture(["pipelined"]);
  const { folder, first, second, all } = await twoOf(fixture, "pipelined");
  await until(() => all().includes("prepared second"));
  const [pid] = await modelPids(fixture.pool);
  process.kill(pid ?? 0, "SIGKILL");
  writeFileSync(join(folder, "go"), "");
  await fixture.edge.until(() => first.terminal?.type === "succeeded" && second.terminal?.type === "succeeded");
  expect(first.events.some((event) => event.type === "failed" && event.kind === "crash")).toBe(true);
  expect(second.events.some((event) => event.type === "failed")).toBe(false);
  expect(all().filter((note) => note === "began second")).toHaveLength(1);
  expect(fixture.edge.violations).toEqual([]);
});

test("is to blame for the death of its process once it has begun", async () => {
  await using fixture = await startFixture(["pipelined"]);
  const { folder, first, second, all } = await twoOf(fixture, "pipelined", "go-too");
  await until(() => all().includes("prepared second"));
  writeFileSync(join(folder, "go"), "");
  await until(() => all().includes("began second"));
  await fixture.edge.until(() => first.terminal?.type === "succeeded");
  const [pid] = await modelPids(fixture.pool);
  process.kill(pid ?? 0, "SIGKILL");
  writeFileSync(join(folder, "go-too"), "");
  await fixture.edge.until(() => second.terminal?.type === "succeeded");
  expect(second.events.some((event) => event.type === "failed" && event.kind === "crash")).toBe(true);
  expect(fixture.edge.violations).toEqual([]);
});

test("ends at once when it is canceled, and never begins", async () => {
  await using fixture = await startFixture(["pipelined"]);
  const { folder, first, second, all } = await twoOf(fixture, "pipelined");
  await until(() => all().includes("prepared second"));
  fixture.edge.cancel(second);
  await expect
    .poll(() => metricsOf(fixture), LONG)
    .toMatch(/ended_total\{model="local\/pipelined",outcome="(canceled|released)"\} 1/);
  expect(first.terminal).toBeNull();
  writeFileSync(join(folder, "go"), "");
  const third = fixture.edge.submit(await fixture.ref("pipelined"), { name: "third", folder });
  await fixture.edge.until(() => third.terminal?.type === "succeeded");
  expect(all()).not.toContain("began second");
});

test("goes on without the members that were canceled before it began", async () => {
  await using fixture = await startFixture(["pair"]);
  const { edge, home } = fixture;
  const ref = await fixture.ref("pair");
  const gate = join(home.root, "go");
  const first = edge.submit(ref, { text: `until ${gate}` });
  await edge.until(() => hasBegun(first));
  const [left, right] = ["left", "right"].map((text) => edge.submit(ref, { text }));
  await expect.poll(() => metricsOf(fixture), LONG).toContain('batches_total{model="local/pair",reason="full"} 1\n');
  if (left !== undefined) edge.cancel(left);
  await expect
    .poll(() => metricsOf(fixture), LONG)
    .toMatch(/ended_total\{model="local\/pair",outcome="(canceled|released)"\} 1/);
  writeFileSync(gate, "");
  await edge.until(() => right?.terminal !== null);
  expect(right?.terminal).toMatchObject({ type: "succeeded", output: ["right"] });
});

/** Predictions of the model with three stages; `all` is what these noted, in order. */
async function staged(fixture: Fixture, name: "stages" | "one-stage") {
  const ref = await fixture.ref(name);
  const folder = fixture.home.root;
  return {
    submit: (input: Record<string, string>): Tracked => fixture.edge.submit(ref, { folder, ...input }),
    open: (one: string): void => writeFileSync(join(folder, one), ""),
    all: (): string[] =>
      existsSync(join(folder, "notes")) ? readFileSync(join(folder, "notes"), "utf8").trim().split("\n") : [],
  };
}

test("one is prepared and another runs while the outputs of a third are made", async () => {
  await using fixture = await startFixture(["stages"]);
  const { submit, open, all } = await staged(fixture, "stages");
  const first = submit({ name: "first", holds: "finished" });
  await until(() => all().includes("finished first"));
  const second = submit({ name: "second", holds: "ran" });
  await until(() => all().includes("ran second"));
  const third = submit({ name: "third" });
  await until(() => all().includes("prepared third"));
  // Each is held in its stage, and none of the three has an end.
  expect([first, second, third].map(({ terminal }) => terminal)).toEqual([null, null, null]);
  expect(all()).not.toContain("ran third");
  open("first");
  open("second");
  await fixture.edge.until(() => [first, second, third].every(({ terminal }) => terminal !== null));
  for (const [tracked, name] of [
    [first, "first"],
    [second, "second"],
    [third, "third"],
  ] as const) {
    // What a stage records is its own batch's, whatever runs beside it.
    const metrics = { prepared: name, ran: name, finished: name };
    expect(tracked.terminal).toMatchObject({ type: "succeeded", output: name.toUpperCase() });
    expect(tracked.events.findLast(({ type }) => type === "metric")).toMatchObject({ metrics });
  }
  expect(fixture.edge.violations).toEqual([]);
});

test("outputs that can't be made fail alone, and a death while they are made is theirs", async () => {
  await using fixture = await startFixture(["stages"]);
  const { submit, open, all } = await staged(fixture, "stages");
  const raises = submit({ name: "raises", does: "finished" });
  await fixture.edge.until(() => raises.terminal !== null);
  expect(raises.terminal).toMatchObject({ type: "failed", error: { message: "finished raised" } });
  const dies = submit({ name: "dies", holds: "finished", dies: "finished" });
  await until(() => all().includes("finished dies"));
  const beside = submit({ name: "beside", holds: "ran" });
  await until(() => all().includes("ran beside"));
  open("beside");
  open("dies");
  await fixture.edge.until(() => dies.terminal !== null && beside.terminal !== null);
  expect(dies.terminal).toMatchObject({ type: "failed", error: { code: "model_crashed" } });
  expect(beside.terminal).toMatchObject({ type: "succeeded", output: "BESIDE" });
  expect(fixture.edge.violations).toEqual([]);
});

test("without batches in flight the three stages follow each other", async () => {
  await using fixture = await startFixture(["one-stage"]);
  const { submit, all } = await staged(fixture, "one-stage");
  const both = [submit({ name: "one" }), submit({ name: "two" })];
  await fixture.edge.until(() => both.every(({ terminal }) => terminal !== null));
  expect(both.map(({ terminal }) => terminal)).toMatchObject([{ output: "ONE" }, { output: "TWO" }]);
  // What is submitted within one millisecond has no order.
  const inTurn = all()[0]?.endsWith("two") === true ? ["two", "one"] : ["one", "two"];
  expect(all()).toEqual(inTurn.flatMap((name) => ["prepared", "ran", "finished"].map((stage) => `${stage} ${name}`)));
});
