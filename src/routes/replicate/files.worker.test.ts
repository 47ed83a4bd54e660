import { createExecutionContext } from "cloudflare:test";
import { beforeAll, describe, expect, it } from "vitest";
import { call, callJson, newKey, ORIGIN, testEnv } from "../../../test/worker/edge-harness.ts";
import worker from "../../index.ts";
import { sweepFiles } from "../../registry/files.ts";

let key = "";
let other = "";
type Shown = { id: string; size: number; urls: { get: string }; checksums: { sha256: string } };

/** Uploads as a browser's or Node's `fetch` does, with the form's length announced. */
async function upload(
  form: FormData,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: Record<string, unknown> }> {
  const encoded = new Response(form);
  const bytes = await encoded.arrayBuffer();
  const all = { authorization: `Bearer ${key}`, "content-type": encoded.headers.get("content-type") ?? "", ...headers };
  const init = { method: "POST", body: bytes, headers: { "content-length": String(bytes.byteLength), ...all } };
  const response = await worker.fetch(new Request(`${ORIGIN}/v1/files`, init), testEnv, createExecutionContext());
  return { status: response.status, body: await response.json() };
}

function formOf(content: string, metadata?: string): FormData {
  const form = new FormData();
  form.append("content", new Blob([content], { type: "text/html" }), "pa ge.html");
  if (metadata !== undefined) form.append("metadata", new Blob([metadata], { type: "application/json" }));
  return form;
}

beforeAll(async () => {
  key = await newKey("uploader");
  other = await newKey("stranger");
});

describe("files", () => {
  it("come back as they went up, behind a link that works without a key", async () => {
    const { status, body } = await upload(formOf("<b>hello</b>", '{"a":1}'));
    expect(status).toBe(201);
    expect(body).toMatchObject({ size: 12, content_type: "text/html", metadata: { a: 1 }, name: "pa ge.html" });
    const file = body as Shown;
    const download = await call(file.urls.get);
    expect(await download.text()).toBe("<b>hello</b>");
    expect(download.headers.get("content-disposition")).toContain("attachment");
    expect(download.headers.get("content-security-policy")).toContain("sandbox");
    expect(file.urls.get).not.toContain("uploader");
    expect((await callJson(`/v1/files/${file.id}`, { key })).body).toMatchObject({ id: file.id });
  });

  it("are listed, newest first, and deleted with their content", async () => {
    const { body } = await upload(formOf("gone soon"));
    const file = body as Shown;
    const listed = (await callJson("/v1/files", { key })).body["results"] as Shown[];
    expect(listed[0]?.id).toBe(file.id);
    expect((await call(`/v1/files/${file.id}`, { method: "DELETE", key })).status).toBe(204);
    expect((await call(`/v1/files/${file.id}`, { key })).status).toBe(404);
    expect((await call(file.urls.get)).status).toBe(404);
    expect(await testEnv.BLOBS.head(`files/${file.id}`)).toBeNull();
  });

  it("are nobody else's", async () => {
    const file = (await upload(formOf("mine"))).body as Shown;
    for (const method of ["GET", "DELETE"]) {
      expect((await callJson(`/v1/files/${file.id}`, { method, key: other })).body["code"]).toBe("not_found");
    }
    expect((await callJson("/v1/files", { key: other })).body["results"]).toEqual([]);
    expect((await call(file.urls.get.replace(/expires=\d+/, "expires=99999999999"))).status).toBe(403);
    expect((await call(`/v1/files/${file.id}/download`, { key })).status).toBe(403);
  });

  it("really go when they have expired", async () => {
    const file = (await upload(formOf("old"))).body as Shown;
    await testEnv.DB.prepare("UPDATE files SET expires_at = 1 WHERE id = ?").bind(file.id).run();
    expect((await call(`/v1/files/${file.id}`, { key })).status).toBe(404);
    await sweepFiles(testEnv);
    expect(await testEnv.BLOBS.head(`files/${file.id}`)).toBeNull();
    expect(await testEnv.DB.prepare("SELECT id FROM files WHERE id = ?").bind(file.id).first()).toBeNull();
  });

  it("refuses what is no form, has no file, or says nonsense of it", async () => {
    expect(
      (await callJson("/v1/files", { key, body: { content: "x" }, headers: { "content-length": "15" } })).status,
    ).toBe(400);
    expect((await upload(new FormData())).status).toBeGreaterThanOrEqual(400);
    const text = new FormData();
    text.append("content", "no file");
    expect((await upload(text)).body["code"]).toBe("invalid_input");
    expect((await upload(formOf("x", "[1]"))).body["code"]).toBe("invalid_input");
    expect((await upload(formOf("x"), { "content-length": String(200 * 1024 * 1024) })).status).toBe(413);
  });
});
