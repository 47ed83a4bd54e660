/**
 * A host that is about to be taken away: what waits goes back at once, what can finish does, and the rest goes back in
 * time.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startMetadataService } from "../../metadata-service.ts";
import type { Tracked } from "./fake-edge.ts";
import { hasBegun, startFixture } from "./fixture.ts";

/** What runs for a second ends in it, also on a machine that stands still for some of it. */
const NOTICE_MS = 6000;
/** Notices of this cloud are looked for every 2 s: what runs has time left when one is found. */
const CLOUD_NOTICE_MS = 7000;

const released = ({ events }: Tracked) => events.find(({ type }) => type === "released");

test("a notice of the cloud ends the pool within its time, at no prediction's cost", async () => {
  await using service = await startMetadataService("aws");
  const flags = ["--preemption", "aws", "--metadata-url", service.url];
  await using fixture = await startFixture(["single", "asleep"], flags);
  const { edge, pool } = fixture;
  await expect.poll(() => pool.output()).toContain("waiting for notices of preemption");
  const waits = edge.submit(await fixture.ref("asleep"), {});
  const long = edge.submit(await fixture.ref("single"), { do: "sleep 60" });
  await edge.until(() => hasBegun(long) && waits.session !== null);
  service.preempt(CLOUD_NOTICE_MS);
  await edge.until(() => released(waits) !== undefined);
  expect(released(waits)).toMatchObject({ reason: "drain" });
  expect(released(long)).toBeUndefined();
  expect(await pool.exited).toBe(0);
  expect(released(long)).toMatchObject({ reason: "drain" });
  expect([long.row.losses, waits.row.losses]).toEqual([0, 0]);
  expect(edge.violations).toEqual([]);
});

test("a file does the same: what finishes in time is delivered, and what still goes up is handed back", async () => {
  await using fixture = await startFixture(["single", "film"]);
  const { edge, pool, home } = fixture;
  const film = edge.submit(await fixture.ref("film"), {});
  const uplink = Promise.withResolvers<void>();
  edge.behaviour.blobsWaitFor = uplink.promise;
  const short = edge.submit(await fixture.ref("single"), { do: "sleep 1" });
  await edge.until(() => hasBegun(short) && (edge.counts["pool/v1/blobs"] ?? 0) > 0);
  writeFileSync(join(home.state, "drain"), String(NOTICE_MS / 1000));
  expect(await pool.exited).toBe(0);
  uplink.resolve();
  expect(short.terminal?.type).toBe("succeeded");
  expect(released(film)).toMatchObject({ reason: "drain" });
  expect(film.row.losses).toBe(0);
});

test("an edge that gives the host back does the same by a message: what runs finishes, and the pool exits", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge, pool } = fixture;
  const short = edge.submit(await fixture.ref("single"), { do: "sleep 0.5" });
  await edge.until(() => hasBegun(short));
  expect(edge.hellos.at(-1)?.hears).toContain("leave");
  edge.tell({ type: "leave", withinMs: 10_000 });
  expect(await pool.exited).toBe(0);
  expect(short.terminal?.type).toBe("succeeded");
});
