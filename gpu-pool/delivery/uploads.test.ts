import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createHttpClient } from "../transport/http-client.ts";
import type { HttpClient } from "../transport/http-client.ts";
import { createUploads } from "./uploads.ts";

const PART = 64 * 1024 * 1024;
const claim = { id: "p1", token: "t1" };
const mark = "m";
let folder = "";
const origin = () => ({ scratchDir: folder, fileMark: mark, isConfined: false });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "edgeplane-uploads-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** An edge that takes uploads; `refuse` answers a status in place of taking a call. Answers what came, by call. */
async function withEdge(refuse: (call: string) => number | null, use: (url: URL) => Promise<void>) {
  const taken = new Map<string, number>();
  const server = createServer(async (request, reply) => {
    let bytes = 0;
    for await (const chunk of request) bytes += (chunk as Buffer).length;
    const call = `${request.method} ${request.url?.replace("/pool/v1/blobs/p1/t1", "")}`;
    const status = refuse(call);
    if (status === null) taken.set(call, bytes);
    const body = { key: "k", url: "http://edge/file", upload: "u", part_size: PART, part_count: 3, part_number: 1 };
    reply.writeHead(status ?? 200, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  try {
    await use(new URL(`http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`));
  } finally {
    server.close();
  }
  return taken;
}

function largeFile(): string {
  const file = join(folder, "film.mp4");
  writeFileSync(file, "");
  truncateSync(file, 2 * PART + 5);
  return file;
}

test("a file that is larger than a part goes up in parts, and only what failed is sent again", async () => {
  const file = largeFile();
  let failures = 1;
  const taken = await withEdge(
    (call) => (call.endsWith("/parts/2") && failures-- > 0 ? 503 : null),
    async (url) => {
      const uploads = createUploads(createHttpClient(url, {}));
      const output = await uploads.files(claim, { film: { $file: file, mediaType: "video/mp4", mark } }, origin());
      expect(output).toEqual({ film: "http://edge/file" });
    },
  );
  const sizes = Object.fromEntries([...taken].filter(([call]) => call.startsWith("PUT")));
  expect(sizes).toEqual({
    "PUT /1/uploads/u/parts/1": PART,
    "PUT /1/uploads/u/parts/2": PART,
    "PUT /1/uploads/u/parts/3": 5,
  });
  expect(taken.has("POST /1/uploads/u/complete?name=film.mp4")).toBe(true);
  expect(existsSync(file)).toBe(false);
});

test("an upload whose claim was lost is given up", async () => {
  const file = largeFile();
  const taken = await withEdge(
    (call) => (call.endsWith("/parts/1") ? 403 : null),
    async (url) => {
      const uploads = createUploads(createHttpClient(url, {}));
      await expect(uploads.files(claim, { $file: file, mark }, origin())).rejects.toThrow("403");
    },
  );
  expect(taken.has("DELETE /1/uploads/u")).toBe(true);
});

test("a smaller one goes up in one, under its own name", async () => {
  const file = join(folder, "naïve 🎉.txt");
  writeFileSync(file, "hello");
  const taken = await withEdge(
    () => null,
    async (url) => {
      await createUploads(createHttpClient(url, {})).files(claim, [{ $file: file, mark }], origin());
    },
  );
  expect(Object.fromEntries(taken)).toEqual({ "PUT /1?name=na%C3%AFve%20%F0%9F%8E%89.txt": 5 });
});

test("one file of a prediction goes up while another's many are on their way", async () => {
  const fileAt = (name: string) => {
    writeFileSync(join(folder, name), name);
    return { $file: join(folder, name), mark };
  };
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const http: Pick<HttpClient, "json"> = {
    async json({ path }) {
      begun.push(path.split("/").at(-2) ?? "");
      await new Promise<void>((resolve) => ends.push(resolve));
      return { key: path, url: `https://files/${path}` };
    },
  };
  const uploads = createUploads(http as HttpClient);
  const names = Array.from({ length: 40 }, (_, n) => `m${n}`);
  const many = uploads.files({ id: "many", token: "a" }, names.map(fileAt), origin());
  await expect.poll(() => ends.length).toBe(16);
  const one = uploads.files({ id: "one", token: "b" }, fileAt("one"), origin());
  const isOver = Promise.all([many, one]);
  for (let n = 0; n < 41; n += 1) {
    await expect.poll(() => ends.length).toBeGreaterThan(0);
    ends.shift()?.();
  }
  await isOver;
  expect(begun.indexOf("b")).toBeLessThan(19);
});
