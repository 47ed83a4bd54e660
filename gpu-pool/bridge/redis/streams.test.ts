/** Subscribers that come and go while Redis takes its time; the connection is the test's. */
import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import { beforeEach, expect, test, vi } from "vitest";
import { RedisSettingsSchema } from "../settings.ts";
import { Streams } from "./streams.ts";

const redis = vi.hoisted(() => ({
  handlers: new Map<string, (...given: string[]) => void>(),
  subscribed: [] as string[],
  answer: Promise.resolve() as Promise<unknown>,
}));
vi.mock("ioredis", () => ({
  Command: vi.fn(),
  Redis: class {
    on = (event: string, handler: (...given: string[]) => void) => void redis.handlers.set(event, handler);
    subscribe = (channel: string) => {
      redis.subscribed.push(channel);
      return redis.answer;
    };
    unsubscribe = async () => {};
    disconnect() {}
  },
}));

const settings = RedisSettingsSchema.parse({
  url: "redis://127.0.0.1:1",
  tokens: [{ token: "0123456789abcdef" }],
  maxSubscriptions: 3,
});

/** A response that keeps what is written to it. */
class Reply extends EventEmitter {
  written = "";
  destroyed = false;
  writableEnded = false;
  writableLength = 0;
  writeHead(): this {
    return this;
  }
  write(text: string): boolean {
    if (this.writableEnded) throw new Error("write after end");
    this.written += text;
    return true;
  }
  end(): void {
    this.writableEnded = true;
  }
  leave(): void {
    this.destroyed = true;
    this.emit("close");
  }
}
const replyOf = () => new Reply() as Reply & ServerResponse;
const publish = (payload: string) => redis.handlers.get("message")?.("c", payload);

beforeEach(() => {
  redis.subscribed = [];
  redis.answer = Promise.resolve();
});

test("a client that leaves while it is being subscribed takes no place", async () => {
  const streams = new Streams(settings);
  for (let times = 0; times < 5; times += 1) {
    const reply = replyOf();
    const opening = streams.open("subscribe", "c", reply);
    reply.leave();
    await opening;
  }
  expect(streams.size).toBe(0);
  streams.close();
});

test("who joins a subscription that fails is told so, and the next one is subscribed anew", async () => {
  const streams = new Streams(settings);
  redis.answer = Promise.reject(new Error("Redis is away"));
  const both = [replyOf(), replyOf()].map((reply) => streams.open("subscribe", "c", reply));
  for (const opening of both) await expect(opening).rejects.toThrow("Redis is away");
  expect(streams.size).toBe(0);
  redis.answer = Promise.resolve();
  const reply = replyOf();
  await streams.open("subscribe", "c", reply);
  expect(redis.subscribed).toEqual(["c", "c"]);
  publish("hello");
  expect(reply.written).toContain("data: message,c,hello\n\n");
  streams.close();
});

test("a stream that has been ended gets nothing more", async () => {
  const streams = new Streams(settings);
  const reply = replyOf();
  await streams.open("subscribe", "c", reply);
  streams.endAll();
  publish("late");
  expect(reply.written).not.toContain("late");
  streams.close();
});

test("a token that subscribes to all there is leaves some to another", async () => {
  const tokens = ["greedy", "small"].map((name) => ({ token: name.padEnd(16, "-") }));
  const shared = RedisSettingsSchema.parse({ url: "redis://127.0.0.1:1", tokens, maxSubscriptions: 4 });
  const [greedy = null, small = null] = shared.tokens;
  const streams = new Streams(shared);
  const open = async (token: typeof greedy) => streams.open("subscribe", "c", replyOf(), token);
  await open(greedy);
  await open(greedy);
  await expect(open(greedy)).rejects.toMatchObject({ code: "rate_limited" });
  await open(small);
  expect(streams.size).toBe(3);
  streams.close();
});
