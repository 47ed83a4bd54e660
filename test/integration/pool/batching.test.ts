/** What runs together: by cost, within the memory that runs have shown, and nothing that would be late. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { StatusSchema } from "../../../gpu-pool/telemetry/status.ts";
import * as z from "zod";
import type { Tracked } from "./fake-edge.ts";
import { hasBegun, ranOnce, startFixture } from "./fixture.ts";
import type { Fixture } from "./fixture.ts";

const BatchSchema = z.array(z.string());
const ended = (all: Tracked[]) => (): boolean => all.every(({ terminal }) => terminal !== null);

/** Who ran together, once all have ended well. */
function batchesOf(all: Tracked[]): string[][] {
  const outputs = all.map(({ terminal }) => (terminal?.type === "succeeded" ? JSON.stringify(terminal.output) : ""));
  expect(outputs).not.toContain("");
  return [...new Set(outputs)].map((output) => BatchSchema.parse(JSON.parse(output)));
}

async function metricsOf({ pool }: Fixture): Promise<string> {
  return (await fetch(`http://127.0.0.1:${await pool.port()}/metrics`)).text();
}

test("batches hold what costs alike, and cost no more than they may", async () => {
  await using fixture = await startFixture(["costly"]);
  const { edge, home } = fixture;
  const ref = await fixture.ref("costly");
  const gate = join(home.root, "go");
  const first = edge.submit(ref, { text: `until ${gate}` });
  await edge.until(() => hasBegun(first));
  const texts = Array.from({ length: 16 }, (_, index) => (index % 2 === 0 ? `s${index}` : `long enough ${index}`));
  const all = texts.map((text) => edge.submit(ref, { text }));
  writeFileSync(gate, "");
  await edge.until(ended([first, ...all]), 20_000);
  const batches = batchesOf(all);
  for (const batch of batches) {
    const largest = Math.max(...batch.map(({ length }) => length));
    expect(new Set(batch.map(({ length }) => length <= 8)).size).toBe(1);
    expect(largest * batch.length).toBeLessThanOrEqual(60);
  }
  expect(batches.flat().sort()).toEqual(texts.toSorted());
  expect(Math.max(...batches.map(({ length }) => length))).toBeGreaterThan(1);
  expect(all.filter((one) => !ranOnce(one))).toEqual([]);
  expect(edge.violations).toEqual([]);
  const metrics = await metricsOf(fixture);
  expect(metrics).toMatch(/edgeplane_pool_batches_total\{model="local\/costly",reason="cost"\} [1-9]/);
  expect(metrics).toMatch(/edgeplane_pool_padding_waste_count\{model="local\/costly"\} [1-9]/);
  expect(metrics).toMatch(/edgeplane_pool_queue_seconds_count\{model="local\/costly"\} 17/);
});

test("a batch that ran out of memory succeeds in parts, and the next ones are no larger than those", async () => {
  await using fixture = await startFixture(["together"]);
  const { edge } = fixture;
  const ref = await fixture.ref("together");
  const round = async (): Promise<string[][]> => {
    const all = Array.from({ length: 8 }, (_, index) => edge.submit(ref, { text: `memory ${index}` }));
    await edge.until(ended(all), 20_000);
    return batchesOf(all);
  };
  await round();
  const bisected = async (): Promise<string | undefined> =>
    /edgeplane_pool_bisected_total\{[^}]*\} (\d+)/.exec(await metricsOf(fixture))?.[1];
  const before = await bisected();
  expect(Number(before)).toBeGreaterThan(0);
  const batches = await round();
  expect(Math.max(...batches.map(({ length }) => length))).toBeLessThanOrEqual(3);
  expect(await bisected()).toBe(before);
  const models = await (await fetch(`http://127.0.0.1:${await fixture.pool.port()}/models`)).text();
  expect(Number(/"learnedCost":([\d.]+)/.exec(models)?.[1])).toBeLessThan(4);
});

test("batches are no larger than fits the memory that the model may have of the host", async () => {
  await using fixture = await startFixture(["hungry"]);
  const { edge } = fixture;
  const ref = await fixture.ref("hungry");
  const sizesOf = async (count: number): Promise<number[]> => {
    const all = Array.from({ length: count }, () => edge.submit(ref, {}));
    await edge.until(ended(all), 20_000);
    return all.map(({ terminal }) => (terminal?.type === "succeeded" ? Number(terminal.output) : NaN));
  };
  expect(await sizesOf(1)).toEqual([1]);
  const sizes = await sizesOf(24);
  // 160 MiB, of which Python itself has some.
  expect(Math.max(...sizes)).toBeLessThanOrEqual(3);
  expect(Math.max(...sizes)).toBeGreaterThan(1);
  expect(await metricsOf(fixture)).not.toMatch(/edgeplane_pool_process_deaths_total\{model="local\/hungry"\}/);
  const status = await (await fetch(`http://127.0.0.1:${await fixture.pool.port()}/status`)).text();
  const { memoryCaps } = StatusSchema.parse(JSON.parse(status));
  expect(memoryCaps.kind === "cgroup").toBe(memoryCaps.why === null);
  expect(fixture.pool.output()).toContain(`"memoryCaps":"${memoryCaps.kind}"`);
});

test("what can't end by its deadline isn't begun where its model says so, and says why", async () => {
  await using fixture = await startFixture(["late"]);
  const { edge } = fixture;
  const ref = await fixture.ref("late");
  const known = edge.submit(ref, { seconds: 1 });
  await edge.until(() => known.terminal !== null);
  const late = edge.submit(ref, { seconds: 1 }, { endInMs: 900 });
  await edge.until(() => late.terminal !== null);
  expect(late.terminal).toMatchObject({ type: "failed", kind: "late", error: { code: "deadline_before_start" } });
  expect(late.row).toMatchObject({ state: "aborted", startedAt: null });
  expect(late.terminal).toHaveProperty(
    "error.message",
    expect.stringMatching(/^A run takes about \d+ ms, and \d+ ms were left until its deadline\.$/),
  );
});
