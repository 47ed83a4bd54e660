/** A lane and its pools follow the log to another epoch; copies of older epochs are refused without asking a shard. */
import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import { submission } from "../../test/unit/submission.ts";
import { call, callJson, testEnv } from "../../test/worker/edge-harness.ts";
import { newPredictionId } from "../contract/ids.ts";
import { JobSchema } from "../contract/job.ts";
import type { Job } from "../contract/job.ts";
import type { Env } from "../env.ts";
import { knownEpoch } from "../log/current-log.ts";
import type { LogSetting } from "../registry/log-settings.ts";
import { addLogSetting, readLogSetting } from "../registry/log-settings.ts";
import { claimJobs, submit } from "../shard/client.ts";
import { Lane } from "./lane.ts";

const edge = env as Env;
const LANE = "moving";
const ADMIN = { key: testEnv.ADMIN_KEY ?? "" };

async function accept(): Promise<string> {
  const id = newPredictionId(16);
  await submit(edge, { ...submission(id), lane: LANE }, 0);
  return id;
}

const other = (epoch: number): LogSetting => ({
  epoch,
  since: 1,
  choice: {
    ...{ driver: "upstash", url: `https://kafka-${epoch}.test/kafka` },
    ...{ producer: { username: "edge", password: "very-secret" }, pool: null },
  },
});

/** Stands for a Kafka over HTTP; answers what was produced to it. */
function fakeKafka(): Job[] {
  const produced: Job[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (_, init) => {
    const records = JSON.parse(String(init?.body)) as { topic: string; value: string }[];
    for (const { value } of records) produced.push(JobSchema.parse(JSON.parse(value)));
    return Response.json(records.map(({ topic }, offset) => ({ topic, partition: 0, offset, timestamp: 1 })));
  });
  return produced;
}

it("releases what waits to another log, again to the next, and takes it back for the embedded one", async () => {
  await callJson("/admin/v1/pool-tokens", { ...ADMIN, body: { lanes: [LANE] } });
  const produced = fakeKafka();
  const lane = edge.LANE.getByName(LANE);
  const id = await accept();
  await expect.poll(async () => (await lane.stats()).waiting.normal).toBe(1);
  expect(produced).toEqual([]);
  await lane.moveLog(LANE, other(1));
  await expect.poll(() => produced.map((job) => [job.id, job.epoch])).toEqual([[id, 1]]);
  expect(await lane.moveLog(LANE, other(2))).toMatchObject({ handedOn: 1, pools: 0 });
  await expect
    .poll(() => produced.map((job) => [job.id, job.epoch]))
    .toEqual([
      [id, 1],
      [id, 2],
    ]);
  await lane.moveLog(LANE, { epoch: 3, since: 1, choice: { driver: "embedded" } });
  expect((await lane.peek("normal", 0, 10)).map((entry) => entry.id)).toEqual([id]);
  expect(produced).toHaveLength(2);
  vi.restoreAllMocks();
});

it("raises the epoch, keeps its secrets, and refuses copies of older epochs", async () => {
  const id = await accept();
  await addLogSetting(edge, other(0).choice);
  const stored = JSON.stringify((await edge.DB.prepare("SELECT * FROM log_settings").all()).results);
  expect(stored).not.toContain("very-secret");
  expect((await readLogSetting(edge)).choice).toMatchObject({ producer: { password: "very-secret" } });
  const shown = await callJson("/admin/v1/log", ADMIN);
  expect(shown.body).toMatchObject({ driver: "upstash", username: "edge" });
  expect(JSON.stringify(shown.body)).not.toContain("very-secret");

  const moved = await callJson("/admin/v1/log", { ...ADMIN, method: "PUT", body: { driver: "embedded" } });
  expect(moved.body).toMatchObject({ moved: true, driver: "embedded" });
  const epoch = Number(moved.body["epoch"]);
  const again = await callJson("/admin/v1/log", { ...ADMIN, method: "PUT", body: { driver: "embedded" } });
  expect(again.body).toMatchObject({ moved: false, epoch, lanes: [] });

  const claim = async (of: number) => {
    const request = { session: "session-of-a-pool", jobs: [{ id, epoch: of, startNow: true }] };
    const [answer] = await claimJobs(edge, request, { lanes: [LANE] });
    return answer?.verdict === "refused" ? answer.reason : answer?.verdict;
  };
  const knownNow = knownEpoch() ?? 0;
  expect(await claim(knownNow - 2)).toBe("old_epoch");
  expect(await claim(knownNow - 1)).toBe("granted");
  const metrics = await (await call("/admin/v1/metrics", ADMIN)).text();
  expect(metrics).toContain(`edgeplane_lane_lag{lane="${LANE}",topic="jobs.${LANE}.normal"}`);
});

it.each(["fails", "hangs"])("tells the metrics of the other lanes where one %s, and which that is", async (sick) => {
  await callJson("/admin/v1/pool-tokens", { ...ADMIN, body: { lanes: [LANE, "another"] } });
  vi.spyOn(Lane.prototype, "stats").mockImplementationOnce(() => {
    if (sick === "hangs") return new Promise(() => {}) as never;
    throw new Error("the lane is sick");
  });
  const answer = await call("/admin/v1/metrics", ADMIN);
  const metrics = await answer.text();
  vi.restoreAllMocks();
  expect(answer.status).toBe(200);
  const upOf = (up: 0 | 1) =>
    Array.from(metrics.matchAll(/edgeplane_lane_up\{lane="(.+)"\} (.)/g)).flatMap((found) =>
      found[2] === String(up) ? [String(found[1])] : [],
    );
  expect(upOf(0)).toHaveLength(1);
  expect(metrics).not.toContain(`edgeplane_lane_lag{lane="${upOf(0).join("")}"`);
  expect(upOf(1).length).toBeGreaterThan(0);
  for (const lane of upOf(1)) expect(metrics).toContain(`edgeplane_lane_lag{lane="${lane}",topic="jobs.${lane}.low"}`);
});

it("moves the log though a lane hangs, and says which was not told", async () => {
  await callJson("/admin/v1/pool-tokens", { ...ADMIN, body: { lanes: [LANE, "another"] } });
  await addLogSetting(edge, other(0).choice);
  vi.spyOn(Lane.prototype, "moveLog").mockImplementationOnce(() => new Promise(() => {}));
  const moved = await callJson("/admin/v1/log", { ...ADMIN, method: "PUT", body: { driver: "embedded" } });
  vi.restoreAllMocks();
  expect(moved).toMatchObject({ status: 200, body: { moved: true } });
  const lanes = moved.body["lanes"] as { handed_on: number | null }[];
  expect(lanes.length).toBeGreaterThan(1);
  expect(lanes.filter(({ handed_on }) => handed_on === null)).toHaveLength(1);
});

it("refuses a choice of a log that can't be", async () => {
  const put = async (body: object) => callJson("/admin/v1/log", { ...ADMIN, method: "PUT", body });
  expect((await put({ driver: "kafka" })).status).toBe(422);
  expect((await put({ driver: "upstash", url: "no address", username: "a", password: "b" })).body).toMatchObject({
    invalid_fields: [{ field: "url" }],
  });
  // Nothing in these tests reaches out: the answer is a test's.
  expect((await put({ driver: "upstash", url: "https://log.test", username: "a", password: "b" })).body).toMatchObject({
    invalid_fields: [{ field: "url" }],
  });
});

it("can be set anew when the secret that sealed it has changed", async () => {
  await addLogSetting(
    { ...edge, EDGEPLANE_SECRET: "another-secret-another-secret-another-secret" },
    {
      ...{ driver: "upstash", url: "http://127.0.0.1:1/kafka" },
      ...{ producer: { username: "edge", password: "very-secret" }, pool: null },
    },
  );
  const shown = await callJson("/admin/v1/log", ADMIN);
  expect(shown).toMatchObject({ status: 409, body: { code: "conflict" } });
  expect(shown.body["detail"]).toContain("PUT /admin/v1/log");
  const moved = await callJson("/admin/v1/log", { ...ADMIN, method: "PUT", body: { driver: "embedded" } });
  expect(moved).toMatchObject({ status: 200, body: { moved: true, driver: "embedded" } });
});
