/** What of the bucket a sweep takes for orphaned, and what not. */
import { afterEach, beforeAll, expect, it, vi } from "vitest";
import { call, callJson, newKey, offer, testEnv } from "../../test/worker/edge-harness.ts";
import { newPredictionId } from "../contract/ids.ts";
import { contentKey, createUploadedFile } from "../registry/files.ts";
import { readSweepPlace, saveSweepPlace } from "../registry/sweep-places.ts";
import { copyInput, inputBlobKey, putInputOnce } from "../storage/blobs.ts";
import { sweepOrphans } from "./orphans.ts";

const VERSION = "5".repeat(64);
const { BLOBS, DB } = testEnv;
let key = "";
let kept: string[] = [];

beforeAll(async () => {
  key = await newKey("orphans");
  await offer({ name: "orphans", version: VERSION });
  const input = { text: "x".repeat(20_000) };
  const { body: prediction } = await callJson("/v1/predictions", { key, body: { version: VERSION, input } });
  const file = await (await call("/v1/files?name=a", { method: "POST", key, body: "content" })).json<{ id: string }>();
  const { body: upload } = await callJson("/v1/uploads", { key, body: { name: "b", size: 4 } });
  // Completed in the bucket, and not noted yet.
  await BLOBS.put(`files/${String(upload["id"])}`, "done");
  await BLOBS.put("elsewhere/x", "not ours");
  kept = [inputBlobKey(String(prediction["id"])), `files/${file.id}`, `files/${String(upload["id"])}`, "elsewhere/x"];
});
afterEach(() => void vi.useRealTimers());

const keys = async () => (await BLOBS.list()).objects.map((object) => object.key).toSorted();
const later = (ms: number) => vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + ms });

it("deletes what nothing names when it is an hour old, and nothing else", async () => {
  const id = newPredictionId(16);
  const orphans = ["files/never-noted", inputBlobKey(id), `predictions/${id}/output/${"0".repeat(32)}/a.bin`];
  for (const orphan of orphans) await BLOBS.put(orphan, "orphaned");
  await sweepOrphans(testEnv, 100);
  expect(await keys()).toEqual([...kept, ...orphans].toSorted());
  later(3_700_000);
  await sweepOrphans(testEnv, 100);
  expect(await keys()).toEqual(kept.toSorted());
});

it("spares an upload that becomes a file while it looks", async () => {
  const { body } = await callJson("/v1/uploads", { key, body: { name: "c", size: 4 } });
  const id = String(body["id"]);
  const accountId = String(
    await DB.prepare("SELECT account_id FROM uploads WHERE id = ?").bind(id).first("account_id"),
  );
  await BLOBS.put(contentKey(id), "done");
  kept.push(contentKey(id));
  later(3_700_000);
  let queries = 0;
  const beforeTheSecond = async (query: string) => {
    if (/FROM (files|uploads)/.test(query)) queries += 1;
    if (queries !== 2) return;
    const file = { id, name: "c", contentType: "a/b", metadata: {}, sizeBytes: 4, sha256: "", etag: "" };
    await createUploadedFile(DB, { accountId, retentionMs: 86_400_000 }, file);
  };
  const racing = {
    prepare: (query: string) => ({
      bind: (...values: unknown[]) => {
        const statement = DB.prepare(query).bind(...values);
        return {
          run: () => statement.run(),
          first: () => beforeTheSecond(query).then(() => statement.first()),
          all: () => beforeTheSecond(query).then(() => statement.all()),
        };
      },
    }),
  };
  await sweepOrphans({ ...testEnv, DB: racing as unknown as D1Database }, 100);
  expect(await keys()).toContain(contentKey(id));
});

it("goes on where it was, and begins again behind the end", async () => {
  await BLOBS.put("files/never-noted", "orphaned");
  await saveSweepPlace(DB, "orphans", "files/zzz");
  later(3_700_000);
  await sweepOrphans(testEnv, 100);
  expect(await keys()).toContain("files/never-noted");
  expect(await readSweepPlace(DB, "orphans")).toBe("");
  await sweepOrphans(testEnv, 100);
  expect(await keys()).toEqual(kept.toSorted());
});

it("spares an input that its client sends again", async () => {
  const blob = inputBlobKey(newPredictionId(16));
  await BLOBS.put(blob, "{}", { customMetadata: { payloadHash: "hash" } });
  const before = await BLOBS.head(blob);
  expect(await putInputOnce(BLOBS, blob, "{}", "hash")).toBe(true);
  expect((await BLOBS.head(blob))?.version).toBe(before?.version);
  later(2_000_000);
  expect(await putInputOnce(BLOBS, blob, "{}", "other hash")).toBe(false);
  expect(await putInputOnce(BLOBS, blob, "{}", "hash")).toBe(true);
  expect((await BLOBS.head(blob))?.version).not.toBe(before?.version);
});

it("spares the input of a dead letter that is replayed again", async () => {
  const [from, to] = [inputBlobKey(newPredictionId(16)), inputBlobKey(newPredictionId(16))];
  await BLOBS.put(from, "{}", { customMetadata: { payloadHash: "hash" } });
  expect(await copyInput(BLOBS, from, to)).toBe(true);
  const before = await BLOBS.head(to);
  expect(await copyInput(BLOBS, from, to)).toBe(true);
  expect((await BLOBS.head(to))?.version).toBe(before?.version);
  later(2_000_000);
  expect(await copyInput(BLOBS, from, to)).toBe(true);
  expect((await BLOBS.head(to))?.version).not.toBe(before?.version);
  await BLOBS.delete(from);
  expect(await copyInput(BLOBS, from, to)).toBe(true);
  await BLOBS.delete(to);
  expect(await copyInput(BLOBS, from, to)).toBe(false);
});
