import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import * as z from "zod";
import { createClient } from "./client.ts";
import type { Client } from "./client.ts";
import { processIo } from "./io.ts";
import { runCli } from "./test-io.ts";

let server: Server;
let url: string;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let client: Client;

beforeEach(async () => {
  server = createServer((request, response) => answer(request, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${z.object({ port: z.number() }).parse(server.address()).port}`;
  client = createClient({ url, key: "ep_x", source: "the test" });
});
afterEach(() => {
  vi.useRealTimers();
  server.closeAllConnections();
  server.close();
});

test("a stream may last for longer than a call may", async () => {
  let rest: () => void = () => {};
  answer = (_request, response) => {
    response.write("one ");
    rest = () => void response.end("two");
  };
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const stream = await client.open("GET", "/v1/predictions/p/stream");
  vi.advanceTimersByTime(100_000);
  rest();
  expect(await stream.text()).toBe("one two");
});

test("an answer that breaks off is told in one line", async () => {
  answer = (_request, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("{", () => response.destroy());
  };
  await expect(client.api(z.unknown(), "GET", "/account")).rejects.toMatchObject({ exitCode: 5 });
});

test("a page is asked of the gateway that was named, whatever its links say", async () => {
  answer = (request, response) => void response.end(JSON.stringify(request.url));
  expect(await client.page(z.string(), "https://other.example/v1/models?cursor=2")).toBe("/v1/models?cursor=2");
});

test("a prediction whose stream can't be had leaves no call behind", async () => {
  const prediction = {
    id: "p",
    status: "starting",
    created_at: "2030-01-01T00:00:00Z",
    output: null,
    urls: { stream: "/s" },
  };
  const version = { latest_version: { openapi_schema: {}, streams: "iterate" } };
  let isLeft: Promise<unknown> = Promise.resolve("not asked");
  let isAsked: () => void = () => {};
  const asked = new Promise<void>((resolve) => (isAsked = resolve));
  answer = (request, response) => {
    const path = request.url ?? "";
    if (path.endsWith("/stream")) {
      void asked.then(() => response.writeHead(404).end());
    } else if (path.startsWith("/v1/predictions/")) {
      // The gateway holds it.
      isLeft = once(response, "close");
      isAsked();
    } else response.end(JSON.stringify(request.method === "POST" ? prediction : version));
  };
  const ran = await runCli(["predict", "a/b"], { env: { EDGEPLANE_URL: url, EDGEPLANE_API_KEY: "ep_x" } });
  expect(ran).toMatchObject({ code: 4, stdout: "" });
  await isLeft;
});

test("what the system refuses is told in one line", async () => {
  const home = mkdtempSync(join(tmpdir(), "edgeplane-cli-"));
  try {
    writeFileSync(join(home, "file"), "");
    const ran = await runCli(["init", "file/model"], { cwd: home });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/^edgeplane: ENOTDIR.*\n$/);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

test("every signal to end interrupts, as long as somebody listens", () => {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  const counts = (): number[] => signals.map((signal) => process.listenerCount(signal));
  const before = counts();
  const forget = processIo().onInterrupt(() => {});
  expect(counts()).toEqual(before.map((count) => count + 1));
  forget();
  expect(counts()).toEqual(before);
});
