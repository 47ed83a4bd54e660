import { expect, test } from "vitest";
import { call } from "../../test/worker/edge-harness.ts";
import { acceptsGzip } from "./compress.ts";

const get = (path: string, coding: string) => call(path, { headers: { "accept-encoding": coding } });

test("long JSON is compressed for those who take it, and is the same", async () => {
  const plain = await get("/openapi.json", "identity");
  expect(plain.headers.get("content-encoding")).toBeNull();
  const packed = await get("/openapi.json", "br;q=0.1, gzip");
  expect(packed.headers.get("content-encoding")).toBe("gzip");
  expect(packed.headers.get("vary")).toContain("accept-encoding");
  expect(await packed.json()).toEqual(await plain.json());
});

test("short JSON and pages are left as they are", async () => {
  for (const path of ["/healthz", "/docs"]) {
    const response = await get(path, "gzip");
    expect(response.headers.get("content-encoding")).toBeNull();
    await response.body?.cancel();
  }
});

test.each([
  ["gzip", true],
  ["deflate, gzip;q=0.5", true],
  ["*", true],
  ["gzip;q=0, *", false],
  ["br", false],
  ["", false],
])("%s", (header, accepts) => {
  expect(acceptsGzip(header)).toBe(accepts);
});
