import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import type { WebSocket } from "ws";
import { createHandClock } from "../../test/unit/hand-clock.ts";
import { createControlChannel } from "./control-channel.ts";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A channel to an edge that answers pings while `answers` is true. */
async function open() {
  const { clock, pass } = createHandClock();
  const edge = { answers: true, heard: [] as string[], told: 0, extensions: [] as string[], close() {} };
  const down: string[] = [];
  const server = createServer();
  const sockets = new WebSocketServer({ server, perMessageDeflate: true });
  sockets.on("connection", (socket: WebSocket) => {
    edge.extensions.push(socket.extensions);
    edge.close = () => socket.close(1000);
    socket.on("message", (data: Buffer) => {
      edge.heard.push(data.toString("utf8"));
      if (!edge.answers || data.toString("utf8") !== "ping") return;
      socket.send("pong");
      // Behind it, so that a test sees that it arrived.
      socket.send('{"type":"tell"}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const channel = createControlChannel({
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    token: "t",
    session: "session-1",
    clock,
    hello: () => ({ type: "draining" }),
    onOpen: () => {},
    onMessage: () => void (edge.told += 1),
    onDown: (why) => void down.push(why),
    onRefused: () => {},
  });
  ends.push(() => {
    channel.close();
    sockets.close();
    server.close();
  });
  const pings = (): number => edge.heard.filter((text) => text === "ping").length;
  await expect.poll(() => edge.told).toBe(1);
  return { channel, edge, pass, pings, down };
}

test("a message asks whether it arrives, at most once a second, and an answer ends the question", async () => {
  const { channel, edge, pass, pings, down } = await open();
  channel.send({ type: "draining" });
  expect(pings()).toBe(1);
  pass(1000);
  channel.send({ type: "draining" });
  channel.send({ type: "draining" });
  await expect.poll(() => edge.told).toBe(2);
  expect(pings()).toBe(2);
  pass(4000);
  expect([down, channel.open]).toEqual([[], true]);
});

test("a message that isn't answered within two seconds ends the connection", async () => {
  const { channel, edge, pass, down } = await open();
  edge.answers = false;
  pass(1000);
  expect(channel.send({ type: "draining" })).toBe(true);
  pass(1999);
  pass(1);
  expect(channel.open).toBe(true);
  pass(50);
  await expect.poll(() => down).toEqual(["nobody answered within 2.05 s"]);
  expect(channel.send({ type: "draining" })).toBe(false);
});

test("an edge that closes the channel is not one that doesn't answer", async () => {
  const { edge, down } = await open();
  edge.close();
  await expect.poll(() => down).toEqual(["the connection closed"]);
});

test("an edge that would compress messages isn't asked to", async () => {
  const { edge } = await open();
  expect(edge.extensions).toEqual([""]);
});
