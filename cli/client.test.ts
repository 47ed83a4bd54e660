import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import * as z from "zod";
import { createClient } from "./client.ts";
import type { Client } from "./client.ts";
import { eventsOf } from "./events.ts";
import { processIo } from "./io.ts";
import { run } from "./program.ts";
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

test.each([
  ["the account has too many open", 429, "too_many_streams"],
  ["there is no room for one", 503, "unavailable"],
])("a prediction is followed without a stream where %s", async (_why, status, code) => {
  const prediction = { id: "p", created_at: "2030-01-01T00:00:00Z", urls: { stream: "/s" } };
  const version = { latest_version: { openapi_schema: {}, streams: "concatenate" } };
  answer = (request, response) => {
    const path = request.url ?? "";
    const problem = JSON.stringify({ detail: "There are as many streams open as there may be.", code });
    if (path.endsWith("/stream")) response.writeHead(status, { "retry-after": "0" }).end(problem);
    else if (path.startsWith("/v1/predictions/"))
      response.end(JSON.stringify({ ...prediction, status: "succeeded", output: ["Hello", " Ada"] }));
    else if (request.method === "POST")
      response.end(JSON.stringify({ ...prediction, status: "starting", output: null }));
    else response.end(JSON.stringify(version));
  };
  const ran = await runCli(["predict", "a/b"], { env: { EDGEPLANE_URL: url, EDGEPLANE_API_KEY: "ep_x" } });
  expect(ran).toMatchObject({ code: 0, stdout: "Hello Ada\n" });
});

test("a prediction is followed through a restart of the gateway", async () => {
  const prediction = { id: "p", status: "starting", created_at: "2030-01-01T00:00:00Z", output: null, urls: {} };
  const version = { latest_version: { openapi_schema: {}, streams: "no" } };
  // Each read is sent three times.
  let awayFor = 4;
  answer = (request, response) => {
    if (request.method === "POST") response.end(JSON.stringify(prediction));
    else if (request.url?.startsWith("/v1/predictions/") !== true) response.end(JSON.stringify(version));
    else if (awayFor > 0) {
      awayFor -= 1;
      response.destroy();
    } else response.end(JSON.stringify({ ...prediction, status: "succeeded", output: "Hello" }));
  };
  const ran = await runCli(["predict", "a/b"], { env: { EDGEPLANE_URL: url, EDGEPLANE_API_KEY: "ep_x" } });
  expect(ran).toMatchObject({ code: 0, stdout: "Hello\n" });
});

test("a gateway that holds no read, as it has too many, is asked ever more slowly", async () => {
  const prediction = { id: "p", status: "starting", created_at: "2030-01-01T00:00:00Z", output: null, urls: {} };
  const askedAtMs: number[] = [];
  answer = (request, response) => {
    const isRead = request.url?.startsWith("/v1/predictions/") === true;
    if (isRead) askedAtMs.push(performance.now());
    const status = askedAtMs.length < 12 ? "starting" : "succeeded";
    const version = { latest_version: { openapi_schema: {}, streams: "no" } };
    response.end(JSON.stringify(isRead || request.method === "POST" ? { ...prediction, status } : version));
  };
  const ran = await runCli(["predict", "a/b"], { env: { EDGEPLANE_URL: url, EDGEPLANE_API_KEY: "ep_x" } });
  expect(ran.code).toBe(0);
  const [before = 0, last = 0] = askedAtMs.slice(-2);
  expect(last - before).toBeGreaterThan(150);
});

test("a stream is taken up again after a restart of the gateway, and not once it is refused", async () => {
  const asked: unknown[] = [];
  let awayFor = 3;
  answer = (request, response) => {
    const lastId = request.headers["last-event-id"];
    asked.push(lastId);
    if (lastId === undefined) response.end("id: 1\nevent: output\ndata: one\n\n");
    else if (awayFor > 0) {
      awayFor -= 1;
      response.destroy();
    } else if (asked.length === 5) response.end("id: 2\nevent: done\ndata: {}\n\n");
    else response.writeHead(404).end();
  };
  const namesOf = async (): Promise<(string | undefined)[]> => {
    const names: (string | undefined)[] = [];
    for await (const { event } of eventsOf(client, "p")) names.push(event);
    return names;
  };
  expect(await namesOf()).toEqual(["output", "done"]);
  expect(asked).toEqual([undefined, "1", "1", "1", "1"]);
  await expect(namesOf()).rejects.toMatchObject({ status: 404 });
});

test("a stream is taken up again once there is room for it", async () => {
  let asked = 0;
  answer = (request, response) => {
    asked += 1;
    const problem = JSON.stringify({ detail: "The account has 500 streams open.", code: "too_many_streams" });
    if (request.headers["last-event-id"] === undefined) response.end("id: 1\nevent: output\ndata: one\n\n");
    else if (asked < 6) response.writeHead(429, { "retry-after": "0" }).end(problem);
    else response.end("id: 2\nevent: done\ndata: {}\n\n");
  };
  const names: (string | undefined)[] = [];
  for await (const { event } of eventsOf(client, "p")) names.push(event);
  expect(names).toEqual(["output", "done"]);
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

test("a key that is typed at a terminal is not shown there", async () => {
  answer = (_request, response) => void response.end(JSON.stringify({ username: "acme", type: "organization" }));
  const home = mkdtempSync(join(tmpdir(), "edgeplane-cli-"));
  const [stdin, stderr] = [new PassThrough(), new PassThrough()].map((stream) =>
    Object.assign(stream, { isTTY: true }),
  );
  if (stdin === undefined || stderr === undefined) throw new Error("two streams");
  let shown = "";
  stderr.setEncoding("utf8").on("data", (text: string) => {
    shown += text;
    if (text.endsWith("API key: ")) stdin.write("ep_secret\r");
  });
  try {
    const io = { ...processIo(), stdin, stderr, env: { HOME: home } };
    expect(await run(io, ["login", "--url", url])).toBe(0);
    expect(shown).toContain("knows you as acme");
    expect(shown).not.toContain("ep_secret");
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
