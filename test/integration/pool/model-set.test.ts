/** Models come, go and are replaced while a pool serves, and no prediction fails of it. */
import { existsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import type { ModelRef } from "../../../src/contract/prediction.ts";
import type { Tracked } from "./fake-edge.ts";
import { hasBegun, roomOf } from "./fixture.ts";
import { models } from "./models.ts";
import { modelAt, startPoolInside } from "./pool-inside.ts";
import type { PoolInside } from "./pool-inside.ts";

const SAYS = (word: string) => ({
  "run.py": models.single["run.py"]?.replace("return act(do)", `return "${word} " + act(do)`) ?? "",
  "cog.yaml": 'run: "run.py:Runner"\n',
});
const folders = {
  "one/a": SAYS("first"),
  "two/a": SAYS("second"),
  "one/b": SAYS("other"),
  "one/far": { ...SAYS("far"), "cog.yaml": 'run: "run.py:Runner"\nedgeplane:\n  lane: far\n' },
};

const add = (inside: PoolInside, path: string): ModelRef => {
  const model = modelAt(inside, path);
  inside.pool.models.add(model);
  return model.manifest;
};
const outputOf = ({ terminal }: Tracked): unknown => (terminal?.type === "succeeded" ? terminal.output : terminal);
const freshPath = (): string => join(tmpdir(), `edgeplane-set-${randomUUID()}`);

test("versions of one model, and models of other lanes, are served side by side as they come", async () => {
  await using inside = await startPoolInside(folders);
  const { edge, pool } = inside;
  expect(edge.hellos.at(-1)).toMatchObject({ lanes: [], models: [] });
  const refs = [add(inside, "one/a"), add(inside, "two/a"), add(inside, "one/b"), add(inside, "one/far")];
  const lanes = ["default", "default", "default", "far"];
  const all = refs.map((ref, index) => edge.submit(ref, { do: "x" }, { lane: lanes[index] ?? "" }));
  await edge.until(() => all.every(({ terminal }) => terminal !== null));
  expect(all.map(outputOf)).toEqual(["first x", "second x", "other x", "far x"]);
  await edge.until(() => edge.hellos.at(-1)?.models.every(({ schema }) => schema !== null) === true);
  expect(edge.hellos.at(-1)?.lanes).toEqual(["default", "far"]);
  expect(edge.hellos.at(-1)?.models.map(({ version }) => version)).toEqual(refs.map(({ version }) => version));
  expect(pool.runners.flatMap(({ instances }) => instances.all.map(({ name }) => name))).toEqual([
    "local/a#0",
    `local/a@${refs[1]?.version.slice(0, 8)}#0`,
    "local/b#0",
    "local/far#0",
  ]);
  expect(edge.violations).toEqual([]);
});

test("one that is retired finishes what runs, hands back the rest, and is gone with its process", async () => {
  await using inside = await startPoolInside(folders);
  const { edge, pool } = inside;
  const [leaving, staying] = [add(inside, "one/a"), add(inside, "two/a")];
  const gate = freshPath();
  const running = edge.submit(leaving, { do: `until ${gate}` });
  await edge.until(() => hasBegun(running));
  const waiting = edge.submit(leaving, { do: "later" });
  await edge.until(() => waiting.token !== null);
  const pid = pool.models.find(leaving)?.instances.all[0]?.process?.pid ?? 0;

  let isGone = false;
  void pool.models.retire(leaving).then(() => (isGone = true));
  await edge.until(() => waiting.events.some(({ type }) => type === "released"));
  expect(waiting.events.at(-1)).toMatchObject({ type: "released", reason: "no_room" });
  // What was on its way is handed back; a version beside it serves on.
  edge.core.push(pool.session, waiting);
  const beside = edge.submit(staying, { do: "y" });
  await edge.until(() => beside.terminal !== null && waiting.events.filter(isReleased).length > 1);
  expect(outputOf(beside)).toBe("second y");
  expect(waiting.events.filter(isReleased).at(-1)).toMatchObject({ reason: "no_room" });
  expect(isGone).toBe(false);
  expect(pool.runners.map(({ isLeaving }) => isLeaving)).toEqual([false, true]);

  writeFileSync(gate, "");
  await edge.until(() => running.terminal !== null && isGone);
  expect(outputOf(running)).toMatch(/^first until /);
  expect(existsSync(`/proc/${pid}`)).toBe(false);
  expect(pool.runners.map(({ model }) => model.manifest.version)).toEqual([staying.version]);
  await edge.until(() => edge.hellos.at(-1)?.models.length === 1);
  edge.core.push(pool.session, waiting);
  await edge.until(() => waiting.events.filter(isReleased).at(-1)?.reason === "cannot_run");
});

const isReleased = (event: Tracked["events"][number]): event is Extract<typeof event, { type: "released" }> =>
  event.type === "released";

test("one that is replaced under load goes on: nothing fails, and what comes later runs by the new one", async () => {
  await using inside = await startPoolInside(folders);
  const { edge, pool } = inside;
  const ref = add(inside, "one/b");
  const send = (count: number): Tracked[] =>
    Array.from({ length: count }, (_, index) => edge.submit(ref, { do: `sleep 0.0${index % 5}` }));
  const all = send(30);
  await edge.until(() => all.some(hasBegun));
  const model = modelAt(inside, "one/b");
  for (const maxBatchSize of [2, 3, 4]) {
    const manifest = { ...model.manifest, maxBatchSize };
    pool.models.add({ ...model, manifest, batching: { ...model.batching, maxBatchSize } });
    all.push(...send(10));
  }
  await edge.until(() => all.every(({ terminal }) => terminal !== null));
  expect(all.map(({ terminal }) => terminal?.type)).toEqual(all.map(() => "succeeded"));
  expect(edge.violations).toEqual([]);
  await edge.until(() => pool.runners.length === 1);
  expect(edge.hellos.at(-1)?.models).toMatchObject([{ maxBatchSize: 4 }]);
  expect(roomOf(edge, "b")?.room).toBeGreaterThan(0);
});

test("suspects that wait for one that is retired go back at once", async () => {
  await using inside = await startPoolInside(folders);
  const { edge, pool } = inside;
  const [first, second] = [add(inside, "one/a"), add(inside, "one/b")];
  const gate = freshPath();
  const blocking = edge.submit(first, { do: `until ${gate}` }, { alone: true });
  await edge.until(() => hasBegun(blocking));
  const suspect = edge.submit(second, { do: "x" }, { alone: true });
  edge.core.push(pool.session, suspect);
  const isSeen = (): boolean =>
    edge.messages.some((one) => one.type === "room" && one.lanes.some(({ seen }) => seen.includes(suspect.id)));
  await edge.until(isSeen);
  await pool.models.retire(second);
  await edge.until(() => suspect.events.some(isReleased));
  writeFileSync(gate, "");
  await edge.until(() => blocking.terminal !== null);
});

test("the log of a lane is read once a model of that lane has come", async () => {
  await using inside = await startPoolInside(folders);
  const { edge } = inside;
  edge.moveToKafka();
  add(inside, "one/a");
  await edge.until(() => Object.keys(edge.counts).some((path) => path.startsWith("bridge/consume")));
  const ref = add(inside, "one/far");
  const tracked = edge.submit(ref, { do: "x" }, { lane: "far" });
  await edge.until(() => tracked.terminal !== null);
  expect(outputOf(tracked)).toBe("far x");
  // The job might have come over the channel, too.
  await edge.until(() => Object.keys(edge.counts).some((path) => path.startsWith("bridge/consume/lane.far")));
});
