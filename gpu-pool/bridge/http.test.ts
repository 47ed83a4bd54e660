/** Bodies at the bridge's doors: how they may come, and how large they may be. */
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorHeaders, readBody, sendJson, shownError } from "./http.ts";

const LIMIT_BYTES = 100_000;
const server = createServer((message, response) => {
  readBodyOf(message).then(
    (body) => sendJson(response, 200, { bytes: body.length, text: body.toString("utf8").slice(0, 20) }),
    (error: unknown) => {
      const shown = shownError(error);
      sendJson(response, shown.status, { code: shown.code }, { ...errorHeaders(shown), connection: "close" });
    },
  );
});
const readBodyOf = async (message: IncomingMessage) => readBody(message, LIMIT_BYTES);
let port = 0;

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** Sends a body; `announced` false: in chunks, without its length. */
async function send(coding: string, body: Uint8Array, announced = true) {
  const length = announced ? { "content-length": String(body.length) } : {};
  const headers = { "content-encoding": coding, ...length };
  const sent = request({ port, host: "127.0.0.1", method: "POST", headers, agent: false });
  sent.on("error", () => {});
  sent.end(body);
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  const json: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  return { status: answer.statusCode, json, accepts: answer.headers["accept-encoding"] };
}

const plain = Buffer.from(`{"text":"${"Ada 🎉 ".repeat(1000)}"}`);

describe.each([
  ["gzip", gzipSync],
  ["X-Gzip", gzipSync],
  ["deflate", deflateSync],
  ["br", brotliCompressSync],
] as const)("a body in %s", (coding, encode) => {
  it("is decoded, whether its length is announced or not", async () => {
    for (const announced of [true, false]) {
      const { status, json } = await send(coding, encode(plain), announced);
      expect([status, json]).toEqual([200, { bytes: plain.length, text: plain.toString("utf8").slice(0, 20) }]);
    }
  });

  it("is refused where it decodes to more than a plain one may have", async () => {
    const bomb = encode(Buffer.alloc(50_000_000));
    expect(bomb.length).toBeLessThan(LIMIT_BYTES);
    expect(await send(coding, bomb)).toMatchObject({ status: 413, json: { code: "payload_too_large" } });
  });

  it("is refused where it is broken, or breaks off", async () => {
    const whole = encode(plain);
    for (const body of [new Uint8Array([1, 2, 3, 4]), whole.subarray(0, whole.length - 10)]) {
      expect(await send(coding, body)).toMatchObject({ status: 400, json: { code: "invalid_request" } });
    }
  });
});

it("refuses what takes more than the limit and decodes to nothing", async () => {
  const empty = gzipSync(Buffer.alloc(0));
  const many = Buffer.concat(Array.from({ length: 2 * Math.ceil(LIMIT_BYTES / empty.length) }, () => empty));
  expect(await send("gzip", many, false)).toMatchObject({ status: 413 });
});

it("refuses other codings, and names those that it takes", async () => {
  for (const coding of ["zstd", "gzip, br"]) {
    const { status, json, accepts } = await send(coding, plain);
    expect([status, json, accepts]).toEqual([415, { code: "unsupported_encoding" }, "gzip, deflate, br"]);
  }
});

it("takes what is not coded as it is, up to the limit", async () => {
  expect(await send("identity", plain)).toMatchObject({ status: 200, json: { bytes: plain.length } });
  expect(await send("identity", Buffer.alloc(LIMIT_BYTES + 1), false)).toMatchObject({ status: 413 });
});
