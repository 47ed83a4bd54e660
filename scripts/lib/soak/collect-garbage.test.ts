import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { isolatesOf } from "../../../test/bench/lib/inspector.ts";
import { freePort } from "../preflight.ts";
import { createGarbageCollector } from "./collect-garbage.ts";

/** Makes an object that nobody holds, whenever it reads a line, and says how many of them are still there. */
const PROGRAM = `const made = [];
process.stdin.on("data", () => {
  console.log(made.filter((one) => one.deref() !== undefined).length);
  made.push(new WeakRef({ bytes: new Array(1000) }));
});`;

test("reaches isolates whose names no address may hold as they are", async () => {
  const isolates = ["core:user:edgeplane", "custom:#GATE"];
  const server = createServer((_request, response) => {
    const targets = isolates.map((name) => ({ webSocketDebuggerUrl: `ws://127.0.0.1:1/${name}` }));
    response.end(JSON.stringify(targets));
  });
  const port = await freePort(0);
  await once(server.listen(port, "127.0.0.1"), "listening");
  try {
    const urls = await isolatesOf(port);
    expect(urls.map((url) => decodeURIComponent(new URL(url).pathname))).toEqual(isolates.map((name) => `/${name}`));
  } finally {
    server.close();
  }
});

test("collects each time, over one session; says so when nobody is there", async () => {
  const port = await freePort(0);
  const child = spawn(process.execPath, [`--inspect=127.0.0.1:${port}`, "-e", PROGRAM]);
  const collector = createGarbageCollector([port]);
  try {
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const left = async () => {
      child.stdin.write("\n");
      return Number((await lines.next()).value);
    };
    expect(await left()).toBe(0);
    expect(await left()).toBe(1);
    for (let times = 0; times < 3; times += 1) {
      await collector.collect();
      expect(await left()).toBe(0);
    }
    collector.close();
    const exited = once(child, "exit");
    child.kill();
    await exited;
    const hasty = createGarbageCollector([port], 1);
    await expect(hasty.collect()).rejects.toThrow(`the inspector on port ${port} did not collect garbage within 1 ms`);
  } finally {
    collector.close();
    child.kill();
  }
});

test("waits for an inspector that does not answer yet", async () => {
  const port = await freePort(0);
  const collector = createGarbageCollector([port]);
  const collected = collector.collect();
  const child = spawn(process.execPath, [`--inspect=127.0.0.1:${port}`, "-e", PROGRAM]);
  try {
    await collected;
  } finally {
    collector.close();
    child.kill();
  }
});
