import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { download } from "./download.ts";
import type { DownloadRules } from "./download.ts";

const content = Buffer.alloc(1_000_000, "0123456789");

/**
 * Downloads from a server that answers with `handle`; answers the content, the file's name and the ranges that were
 * asked for.
 */
async function fetchFrom(
  handle: (request: IncomingMessage, reply: ServerResponse) => void,
  maxBytes = 10_000_000,
  more: Partial<DownloadRules> = {},
) {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-download-"));
  writtenBytes = () => {
    const names = existsSync(folder) ? readdirSync(folder) : [];
    return Math.max(0, ...names.map((name) => statSync(join(folder, name)).size));
  };
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, reply) => {
    ranges.push(request.headers.range);
    handle(request, reply);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const origin = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  const rules = { allowLoopback: false, trustedOrigin: origin, maxBytes, timeoutMs: 20_000, ...more };
  try {
    const path = await download(`${origin}/some%20file.txt`, folder, 0, "image", rules);
    return { text: readFileSync(path), name: basename(path), ranges };
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What of the download lies in its folder. */
let writtenBytes = (): number => 0;

/** Sends what is asked for, and breaks off when `bytes` of it are written. */
function cutAfter(bytes: number, request: IncomingMessage, reply: ServerResponse, etag: string | null): void {
  const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const rest = content.subarray(from);
  const isPart = request.headers.range !== undefined && request.headers["if-range"] === etag;
  reply.writeHead(isPart ? 206 : 200, {
    "content-length": isPart ? rest.length : content.length,
    ...(etag === null ? {} : { etag }),
    ...(isPart ? { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` } : {}),
  });
  const body = isPart ? rest : content;
  if (body.length <= bytes) reply.end(body);
  else {
    reply.write(body.subarray(0, bytes));
    const until = isPart ? from + bytes : bytes;
    const look = setInterval(() => writtenBytes() >= until && reply.destroy(), 5);
    reply.once("close", () => clearInterval(look));
  }
}

test("a transfer that breaks off goes on where it was", async () => {
  const { text, name, ranges } = await fetchFrom((request, reply) => cutAfter(400_000, request, reply, '"a"'));
  expect(text.equals(content)).toBe(true);
  expect(name).toBe("0-some_file.txt");
  expect(ranges).toEqual([undefined, "bytes=400000-", "bytes=800000-"]);
});

test("it begins again when the content is another", async () => {
  let version = 0;
  const { text, ranges } = await fetchFrom((request, reply) => {
    version += 1;
    cutAfter(version === 1 ? 400_000 : content.length, request, reply, `"${version}"`);
  });
  expect(text.equals(content)).toBe(true);
  expect(ranges).toEqual([undefined, "bytes=400000-"]);
});

test("one that breaks off behind its last byte has come as a whole", async () => {
  const { text, ranges } = await fetchFrom((request, reply) => {
    if (request.headers.range !== undefined) {
      reply.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
      return;
    }
    reply.writeHead(200, { etag: '"a"' }).write(content);
    const look = setInterval(() => writtenBytes() === content.length && reply.destroy(), 5);
    reply.once("close", () => clearInterval(look));
  });
  expect(text.equals(content)).toBe(true);
  expect(ranges).toEqual([undefined, "bytes=1000000-"]);
});

test("a content that has become shorter is no whole one", async () => {
  const broken = fetchFrom((request, reply) => {
    if (request.headers.range === undefined) cutAfter(400_000, request, reply, '"a"');
    else reply.writeHead(416, { "content-range": "bytes */300000" }).end();
  });
  await expect(broken).rejects.toThrow("Input image: its URL answered 416.");
});

test("what came and was not written counts once", async () => {
  let [taken, breaks] = [0, 0];
  const total = { leftBytes: 5_000_000, limitBytes: 5_000_000, take: (bytes: number) => ((taken += bytes), null) };
  const breakAtOnce = (request: IncomingMessage, reply: ServerResponse): void => {
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const status = request.headers.range === undefined ? 200 : 206;
    reply.writeHead(status, { etag: '"a"', "content-range": `bytes ${from}-${content.length - 1}/${content.length}` });
    if (from >= 600_000) {
      reply.end(content.subarray(from));
      return;
    }
    // A break at once may lose all that was sent, and a download that comes no further is given up: the next one waits.
    breaks += 1;
    const isAtOnce = breaks % 3 !== 0;
    reply.write(content.subarray(from, from + 300_000), () => isAtOnce && reply.destroy());
    if (isAtOnce) return;
    const look = setInterval(() => writtenBytes() > from && reply.destroy(), 1);
    reply.once("close", () => clearInterval(look));
  };
  const { text } = await fetchFrom(breakAtOnce, 10_000_000, { total });
  expect(text.equals(content)).toBe(true);
  expect([total.leftBytes, taken]).toEqual([4_000_000, 1_000_000]);
});

test("a server that can't tell its contents apart is not asked for the rest", async () => {
  const broken = fetchFrom((request, reply) => cutAfter(400_000, request, reply, null));
  await expect(broken).rejects.toThrow("Input image: its URL broke off.");
});

test("what is larger than allowed is cut, over all its pieces", async () => {
  const large = fetchFrom((request, reply) => cutAfter(400_000, request, reply, '"a"'), 500_000);
  await expect(large).rejects.toThrow("larger than 500000 bytes");
});

test("the server's name for it is the file's", async () => {
  const { name } = await fetchFrom((_request, reply) =>
    reply.writeHead(200, { "content-disposition": 'attachment; filename="../cat.png"' }).end("x"),
  );
  expect(name).toBe("0-cat.png");
});

test("a redirect to a name without an extension leaves the file the client's own", async () => {
  const { name } = await fetchFrom((request, reply) => {
    if (request.url === "/blob/5f3a9c") reply.writeHead(200, { "content-type": "image/png" }).end("x");
    else reply.writeHead(302, { location: "/blob/5f3a9c" }).end();
  });
  expect(name).toBe("0-some_file.txt");
});
