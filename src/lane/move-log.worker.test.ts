/** A lane and its pools follow the log to another epoch; copies of older epochs are refused without asking a shard. */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { submission } from "../../test/unit/submission.ts";
import { call, callJson, testEnv } from "../../test/worker/edge-harness.ts";
import { newPredictionId } from "../contract/ids.ts";
import { JobSchema } from "../contract/job.ts";
import type { Env } from "../env.ts";
import { createLogClient } from "../log/client.ts";
import { addLogSetting, readLogSetting } from "../registry/log-settings.ts";
import { claimJobs, submit } from "../shard/client.ts";

const edge = env as Env;
const LANE = "moving";
const ADMIN = { key: testEnv.ADMIN_KEY ?? "" };

async function accept(): Promise<string> {
  const id = newPredictionId(16);
  await submit(edge, { ...submission(id), lane: LANE }, 0);
  return id;
}

/** The epochs of the copies of a job that are in the log. */
async function epochsOf(id: string): Promise<number[]> {
  const records = await createLogClient(edge).fetch([{ topic: `jobs.${LANE}.normal`, partition: 0, offset: 0 }], 0);
  const jobs = records.map(({ value }) => JobSchema.parse(JSON.parse(value)));
  return jobs.filter((job) => job.id === id).map(({ epoch }) => epoch);
}

it("hands on again what waits, raises the epoch, and refuses copies of older ones", async () => {
  await callJson("/admin/v1/pool-tokens", { ...ADMIN, body: { lanes: [LANE] } });
  const id = await accept();
  await expect.poll(() => epochsOf(id)).toEqual([0]);
  // Away and back: nothing was produced to the log between.
  await addLogSetting(edge, {
    ...{ driver: "upstash", url: "http://127.0.0.1:1/kafka" },
    ...{ producer: { username: "edge", password: "very-secret" }, pool: null },
  });
  const stored = JSON.stringify((await edge.DB.prepare("SELECT * FROM log_settings").all()).results);
  expect(stored).not.toContain("very-secret");
  expect((await readLogSetting(edge)).choice).toMatchObject({ producer: { password: "very-secret" } });
  const shown = await callJson("/admin/v1/log", ADMIN);
  expect(shown.body).toMatchObject({ epoch: 1, driver: "upstash", username: "edge", problems: [] });
  expect(JSON.stringify(shown.body)).not.toContain("very-secret");

  const moved = await callJson("/admin/v1/log", { ...ADMIN, method: "PUT", body: { driver: "embedded" } });
  expect(moved.body).toMatchObject({ moved: true, epoch: 2, driver: "embedded" });
  expect(moved.body["lanes"]).toContainEqual({ lane: LANE, handed_on: 1, pools: 0 });
  expect(await epochsOf(id)).toEqual([0, 2]);
  const again = await callJson("/admin/v1/log", { ...ADMIN, method: "PUT", body: { driver: "embedded" } });
  expect(again.body).toMatchObject({ moved: false, epoch: 2, lanes: [] });

  const claim = async (epoch: number) => {
    const request = { session: "session-of-a-pool", jobs: [{ id, epoch, startNow: true }] };
    const [answer] = await claimJobs(edge, request, { lanes: [LANE] });
    return answer?.verdict === "refused" ? answer.reason : answer?.verdict;
  };
  expect(await claim(0)).toBe("old_epoch");
  expect(await claim(1)).toBe("granted");
  const metrics = await (await call("/admin/v1/metrics", ADMIN)).text();
  expect(metrics).toContain('edgeplane_log_epoch{driver="embedded"} 2\n');
  expect(metrics).toContain(`edgeplane_lane_lag{lane="${LANE}",topic="jobs.${LANE}.normal"} 2\n`);
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
