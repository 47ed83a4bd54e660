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
    await sweepFiles(testEnv, 100);
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
    const tooLarge = await upload(formOf("x"), { "content-length": String(200 * 1024 * 1024) });
    expect(tooLarge.status).toBe(413);
    expect(tooLarge.body["detail"]).toContain("/v1/uploads");
  });

  it.each([true, false])("have the name and the type that the form says (before its content: %s)", async (before) => {
    const form = new FormData();
    const say = () => {
      form.append("filename", "holiday.png");
      form.append("type", "image/png");
    };
    if (before) say();
    form.append("content", new Blob(["png"]), "upload");
    if (!before) say();
    const { status, body } = await upload(form);
    expect([status, body]).toMatchObject([201, { name: "holiday.png", content_type: "image/png", size: 3 }]);
    const download = await call((body as Shown).urls.get);
    expect(download.headers.get("content-type")).toBe("image/png");
    expect(download.headers.get("content-disposition")).toContain("holiday.png");
    expect(download.headers.get("etag")).toBe(`"${String(body["etag"])}"`);
    expect(await download.text()).toBe("png");
  });

  it("refuse a name and a type that are none, and keep nothing", async () => {
    const before = (await testEnv.BLOBS.list({ prefix: "files/" })).objects.length;
    for (const [field, value] of [
      ["type", "no type"],
      ["type", "x".repeat(2000)],
      ["filename", ""],
      ["filename", "x".repeat(256)],
    ] as const) {
      const form = formOf("x");
      form.append(field, value);
      const { status, body } = await upload(form);
      expect([status, body["invalid_fields"]]).toMatchObject([422, [{ field }]]);
    }
    expect((await testEnv.BLOBS.list({ prefix: "files/" })).objects.length).toBe(before);
  });

  it("of more than one part's size pass through a form without a length", async () => {
    const content = new Uint8Array(12 * 1024 * 1024 + 5).map((_, index) => index % 251);
    const form = new FormData();
    form.append("metadata", '{"big":true}');
    form.append("content", new Blob([content]), "big.bin");
    const { status, body } = await upload(form, { "content-length": "" });
    expect(status).toBe(201);
    const digest = await crypto.subtle.digest("SHA-256", content);
    expect(body).toMatchObject({ size: content.length, checksums: { sha256: hex(digest) }, metadata: { big: true } });
    const { body: back } = await call((body as Shown).urls.get);
    expect(await sizeOf(back)).toBe(content.length);
    expect(await testEnv.DB.prepare("SELECT id FROM uploads").first()).toBeNull();
  });

  it("go up as they are, under the name in the query", async () => {
    const sent = await call("/v1/files?name=r%C3%A9sum%C3%A9.txt", {
      key,
      body: "plain",
      headers: { "content-type": "text/plain", "content-length": "5" },
    });
    expect(sent.status).toBe(201);
    const file = await sent.json<Shown & { name: string }>();
    expect(file).toMatchObject({ name: "résumé.txt", size: 5, content_type: "text/plain" });
    const download = await call(file.urls.get);
    expect(download.headers.get("content-disposition")).toContain("filename*=UTF-8''r%C3%A9sum%C3%A9.txt");
    expect(download.headers.get("etag")).toBe(`"${(file as unknown as { etag: string }).etag}"`);
    expect(await download.text()).toBe("plain");
  });

  it.each(["", "  "])("get a name where the form has an empty one: %j", async (name) => {
    const boundary = "b";
    const head = `content-disposition: form-data; name="content"; filename="${name}"\r\ncontent-type: text/plain`;
    const body = `--${boundary}\r\n${head}\r\n\r\nnameless\r\n--${boundary}--\r\n`;
    const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };
    const sent = await callJson("/v1/files", { key, body, headers });
    expect([sent.status, sent.body["name"], sent.body["size"]]).toEqual([201, "file", 8]);
    const { urls } = sent.body as Shown;
    const download = await call(urls.get);
    expect(download.headers.get("content-disposition")).toBe('attachment; filename="file"');
  });

  it("leave nothing behind when the form is broken behind them", async () => {
    const before = (await testEnv.BLOBS.list({ prefix: "files/" })).objects.length;
    const encoded = new Response(formOf("x".repeat(100)));
    const bytes = new Uint8Array(await encoded.arrayBuffer());
    const broken = await call("/v1/files", {
      key,
      body: bytes.subarray(0, bytes.length - 8),
      headers: { "content-type": encoded.headers.get("content-type") ?? "" },
    });
    expect(broken.status).toBe(400);
    expect((await testEnv.BLOBS.list({ prefix: "files/" })).objects.length).toBe(before);
  });
});

describe("downloads", () => {
  let link = "";
  let etag = "";
  const get = async (headers: Record<string, string>, method = "GET") => call(link, { method, headers });

  beforeAll(async () => {
    const { body } = await upload(formOf("0123456789"));
    link = (body as Shown).urls.get;
    etag = `"${(body as unknown as { etag: string }).etag}"`;
  });

  it("answer ranges", async () => {
    const part = await get({ range: "bytes=2-4" });
    expect([part.status, part.headers.get("content-range"), part.headers.get("content-length")]).toEqual([
      206,
      "bytes 2-4/10",
      "3",
    ]);
    expect(await part.text()).toBe("234");
    expect(await (await get({ range: "bytes=-3" })).text()).toBe("789");
    const whole = await get({ range: "bytes=0-1,4-5" });
    expect([whole.status, await whole.text()]).toEqual([200, "0123456789"]);
    const none = await get({ range: "bytes=10-" });
    expect([none.status, none.headers.get("content-range")]).toEqual([416, "bytes */10"]);
    expect((await none.json<{ code: string }>()).code).toBe("range_not_satisfiable");
  });

  it("answer a range only of the content that If-Range names", async () => {
    expect((await get({ range: "bytes=2-4", "if-range": etag })).status).toBe(206);
    expect(await (await get({ range: "bytes=2-4", "if-range": '"another"' })).text()).toBe("0123456789");
  });

  it("say that nothing has changed", async () => {
    for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
      const same = await get({ "if-none-match": tag });
      expect([same.status, await same.text(), same.headers.get("etag")]).toEqual([304, "", etag]);
    }
    expect((await get({ "if-none-match": '"another"' })).status).toBe(200);
    expect((await get({ "if-modified-since": new Date(Date.now() + 5000).toUTCString() })).status).toBe(304);
    expect((await get({ "if-modified-since": new Date(0).toUTCString() })).status).toBe(200);
  });

  it("of JSON come as they are, to those who take gzip as well", async () => {
    const content = JSON.stringify({ text: "x".repeat(5000) });
    const form = new FormData();
    form.append("content", new Blob([content], { type: "application/json" }), "data.json");
    const { get: url } = ((await upload(form)).body as Shown).urls;
    const gzip = { "accept-encoding": "gzip" };
    const whole = await call(url, { headers: gzip });
    const { length } = content;
    expect([whole.headers.get("content-encoding"), whole.headers.get("content-length")]).toEqual([
      null,
      String(length),
    ]);
    expect(await whole.text()).toBe(content);
    const part = await call(url, { headers: { ...gzip, range: "bytes=0-2999" } });
    expect([part.status, part.headers.get("content-encoding")]).toEqual([206, null]);
    expect(await part.text()).toBe(content.slice(0, 3000));
  });

  it("answer HEAD with the headers alone", async () => {
    const head = await get({}, "HEAD");
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "10", ""]);
    expect(head.headers.get("accept-ranges")).toBe("bytes");
    expect((await get({ range: "bytes=1-2" }, "HEAD")).headers.get("content-range")).toBe("bytes 1-2/10");
  });
});

function hex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function sizeOf(body: ReadableStream<Uint8Array> | null): Promise<number> {
  let size = 0;
  if (body !== null) for await (const piece of body) size += piece.length;
  return size;
}
