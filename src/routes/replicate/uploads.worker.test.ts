import { beforeAll, describe, expect, it } from "vitest";
import { call, callJson, newKey, testEnv } from "../../../test/worker/edge-harness.ts";
import { createUploadedFile } from "../../registry/files.ts";
import { sweepExpired } from "../../registry/sweep.ts";
import { findUpload } from "../../storage/upload-rows.ts";
import { abortUpload, completeUpload, putPart } from "../../storage/uploads.ts";

const PART = 5 * 1024 * 1024;

type Shown = {
  id: string;
  part_count: number;
  missing_parts: number[];
  parts: { part_number: number; sha256: string; size: number }[];
};

let key = "";
let other = "";

beforeAll(async () => {
  key = await newKey("parts-uploader");
  other = await newKey("parts-stranger");
});

async function start(size: number, more: Record<string, unknown> = {}): Promise<Shown> {
  const { status, body } = await callJson("/v1/uploads", {
    key,
    body: { name: "film.mp4", size, content_type: "video/mp4", part_size: PART, metadata: { a: 1 }, ...more },
  });
  expect(status).toBe(201);
  return body as unknown as Shown;
}

async function put(id: string, number: number, bytes: Uint8Array, headers: Record<string, string> = {}, by = key) {
  return callJson(`/v1/uploads/${id}/parts/${number}`, {
    method: "PUT",
    key: by,
    body: bytes,
    headers: { "content-length": String(bytes.byteLength), ...headers },
  });
}

/** The bucket's side of an upload. */
async function multipartOf(id: string): Promise<R2MultipartUpload> {
  const multipartId = await testEnv.DB.prepare("SELECT multipart_id FROM uploads WHERE id = ?")
    .bind(id)
    .first("multipart_id");
  return testEnv.BLOBS.resumeMultipartUpload(`files/${id}`, String(multipartId));
}

const bytesOf = (length: number, seed: number) => new Uint8Array(length).map((_, index) => (index * 7 + seed) % 251);

async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

describe("an upload in parts", () => {
  it("becomes a file, whatever the order, and whatever came twice", async () => {
    const [first, second, last] = [bytesOf(PART, 1), bytesOf(PART, 2), bytesOf(10, 3)];
    const upload = await start(2 * PART + 10);
    expect(upload).toMatchObject({ part_count: 3, missing_parts: [1, 2, 3], parts: [] });
    const base64 = btoa(String.fromCharCode(...(await sha256(last))));
    expect((await put(upload.id, 3, last, { "content-digest": `sha-256=:${base64}:` })).status).toBe(200);
    await put(upload.id, 1, bytesOf(PART, 99));
    const sent = await put(upload.id, 1, first);
    expect(sent.body).toEqual({ part_number: 1, size: PART, sha256: hex(await sha256(first)) });

    const early = await callJson(`/v1/uploads/${upload.id}/complete`, { method: "POST", key });
    expect([early.status, early.body["code"]]).toEqual([409, "upload_incomplete"]);
    expect(early.body["detail"]).toContain("2");
    const state = (await callJson(`/v1/uploads/${upload.id}`, { key })).body as unknown as Shown;
    expect([state.parts.map(({ part_number: number }) => number), state.missing_parts]).toEqual([[1, 3], [2]]);

    await put(upload.id, 2, second);
    const done = await callJson(`/v1/uploads/${upload.id}/complete`, { method: "POST", key });
    expect(done.status).toBe(201);
    const digests = new Uint8Array([...(await sha256(first)), ...(await sha256(second)), ...(await sha256(last))]);
    expect(done.body).toMatchObject({
      id: upload.id,
      name: "film.mp4",
      size: 2 * PART + 10,
      content_type: "video/mp4",
      metadata: { a: 1 },
      checksums: { sha256_composite: `${hex(await sha256(digests))}-3` },
    });
    const again = await callJson(`/v1/uploads/${upload.id}/complete`, { method: "POST", key });
    expect([again.status, again.body["id"]]).toEqual([201, upload.id]);

    const link = (done.body["urls"] as { get: string }).get;
    const edge = await call(link, { headers: { range: `bytes=${PART - 2}-${PART + 1}` } });
    expect(new Uint8Array(await edge.arrayBuffer())).toEqual(
      new Uint8Array([...first.subarray(-2), ...second.subarray(0, 2)]),
    );
    const whole = new Uint8Array(await (await call(link)).arrayBuffer());
    expect(hex(await sha256(whole))).toBe(hex(await sha256(new Uint8Array([...first, ...second, ...last]))));

    expect((await callJson(`/v1/uploads/${upload.id}`, { key })).status).toBe(404);
    expect((await call(`/v1/files/${upload.id}`, { method: "DELETE", key })).status).toBe(204);
    expect(await testEnv.BLOBS.head(`files/${upload.id}`)).toBeNull();
  });

  it("refuses parts that are not what they should be", async () => {
    const upload = await start(PART + 10);
    expect((await put(upload.id, 2, bytesOf(11, 1))).body["code"]).toBe("invalid_request");
    expect((await put(upload.id, 3, bytesOf(10, 1))).status).toBe(404);
    expect((await put(upload.id, 2, bytesOf(10, 1), { "content-length": "" })).body["code"]).toBe("length_required");
    const wrong = { "content-digest": `sha-256=:${btoa("x".repeat(32))}:` };
    expect((await put(upload.id, 2, bytesOf(10, 1), wrong)).body["code"]).toBe("checksum_mismatch");
    expect((await put(upload.id, 2, bytesOf(10, 1), { "content-digest": "md5=:x:" })).status).toBe(400);
    expect((await callJson(`/v1/uploads/${upload.id}`, { key })).body["parts"]).toEqual([]);
    await call(`/v1/uploads/${upload.id}`, { method: "DELETE", key });
  });

  it("misses a part again that was sent again with other bytes than it says", async () => {
    const upload = await start(10);
    await put(upload.id, 1, bytesOf(10, 1));
    const wrong = { "content-digest": `sha-256=:${btoa("x".repeat(32))}:` };
    expect((await put(upload.id, 1, bytesOf(10, 2), wrong)).body["code"]).toBe("checksum_mismatch");
    expect((await callJson(`/v1/uploads/${upload.id}`, { key })).body["missing_parts"]).toEqual([1]);
    const early = await callJson(`/v1/uploads/${upload.id}/complete`, { method: "POST", key });
    expect([early.status, early.body["code"]]).toEqual([409, "upload_incomplete"]);
    await put(upload.id, 1, bytesOf(10, 1));
    expect((await callJson(`/v1/uploads/${upload.id}/complete`, { method: "POST", key })).status).toBe(201);
  });

  it("says so when the bucket has ended it, or has another part than was noted last", async () => {
    const upload = await start(10);
    await put(upload.id, 1, bytesOf(10, 1));
    const multipart = await multipartOf(upload.id);
    await multipart.uploadPart(1, bytesOf(10, 2));
    const raced = await callJson(`/v1/uploads/${upload.id}/complete`, { method: "POST", key });
    expect([raced.status, raced.body["code"]]).toEqual([409, "upload_incomplete"]);
    await multipart.abort();
    expect((await put(upload.id, 1, bytesOf(10, 1))).status).toBe(404);
    expect((await callJson(`/v1/uploads/${upload.id}/complete`, { method: "POST", key })).status).toBe(404);
    expect((await call(`/v1/uploads/${upload.id}`, { method: "DELETE", key })).status).toBe(204);
  });

  it("becomes no file when it is given up while it is completed", async () => {
    const started = await start(10);
    await put(started.id, 1, bytesOf(10, 1));
    const row = await testEnv.DB.prepare("SELECT account_id FROM uploads WHERE id = ?").bind(started.id).first();
    const accountId = String(row?.["account_id"]);
    const upload = await findUpload(testEnv.DB, accountId, started.id);
    if (upload === null) throw new Error("it was started");
    const file = {
      ...(await completeUpload(testEnv, upload)),
      id: upload.id,
      name: "a",
      contentType: "b/c",
      metadata: {},
    };
    await abortUpload(testEnv, upload);
    expect(await createUploadedFile(testEnv.DB, { accountId, retentionMs: 60_000 }, file)).toBeNull();
    expect((await callJson(`/v1/files/${upload.id}`, { key })).status).toBe(404);
    expect(await testEnv.BLOBS.head(upload.key)).toBeNull();
  });

  it("is given up on request, and swept when it was abandoned; its parts go", async () => {
    const upload = await start(PART + 10);
    await put(upload.id, 2, bytesOf(10, 1));
    expect((await call(`/v1/uploads/${upload.id}`, { method: "DELETE", key })).status).toBe(204);
    expect((await put(upload.id, 1, bytesOf(PART, 1))).status).toBe(404);

    const abandoned = await start(PART + 10);
    await put(abandoned.id, 2, bytesOf(10, 1));
    const multipart = await multipartOf(abandoned.id);
    await testEnv.DB.prepare("UPDATE uploads SET expires_at = 1 WHERE id = ?").bind(abandoned.id).run();
    expect((await callJson(`/v1/uploads/${abandoned.id}`, { key })).status).toBe(404);
    await sweepExpired(testEnv);
    await expect(multipart.uploadPart(1, bytesOf(PART, 1))).rejects.toThrow(/upload/);
    for (const table of ["uploads", "upload_parts"]) {
      expect(await testEnv.DB.prepare(`SELECT * FROM ${table}`).first()).toBeNull();
    }
  });

  it("has no part that arrives as it is given up: nothing would ever take its row away", async () => {
    const { id } = await start(10);
    const accountId = await testEnv.DB.prepare("SELECT account_id FROM uploads WHERE id = ?")
      .bind(id)
      .first("account_id");
    const upload = await findUpload(testEnv.DB, String(accountId), id);
    if (upload === null) throw new Error("not there");
    const bucket = {
      resumeMultipartUpload: (...which: [string, string]) => ({
        async uploadPart(...part: Parameters<R2MultipartUpload["uploadPart"]>) {
          const uploaded = await testEnv.BLOBS.resumeMultipartUpload(...which).uploadPart(...part);
          await abortUpload(testEnv, upload);
          return uploaded;
        },
      }),
    } as unknown as R2Bucket;
    const body = new Response(bytesOf(10, 1)).body;
    const put = putPart({ DB: testEnv.DB, BLOBS: bucket }, upload, 1, body, null);
    await expect(put).rejects.toMatchObject({ code: "not_found" });
    expect(await testEnv.DB.prepare("SELECT * FROM upload_parts WHERE upload_id = ?").bind(id).first()).toBeNull();
  });

  it("is nobody else's", async () => {
    const upload = await start(10);
    expect((await put(upload.id, 1, bytesOf(10, 1), {}, other)).status).toBe(404);
    for (const [method, path] of [
      ["GET", ""],
      ["DELETE", ""],
      ["POST", "/complete"],
    ]) {
      expect((await callJson(`/v1/uploads/${upload.id}${path}`, { method: method ?? "", key: other })).status).toBe(
        404,
      );
    }
    expect((await callJson("/v1/uploads", { key: other })).body["results"]).toEqual([]);
    expect((await callJson("/v1/uploads", { key })).body["results"]).toMatchObject([{ id: upload.id }]);
  });

  it("says what is wrong with its plan", async () => {
    for (const body of [
      { name: "x", size: 0 },
      { name: "", size: 1 },
      { name: "x", size: 1, part_size: 1 },
      { name: "x", size: 10_000 * PART + 1, part_size: PART },
      { name: "x", size: 1, metadata: [1] },
    ]) {
      expect((await callJson("/v1/uploads", { key, body })).body["code"]).toBe("invalid_input");
    }
  });
});
