import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { createUpstashProducer } from "./upstash-producer.ts";

let close: () => void = () => undefined;
afterEach(() => close());

/** A log that answers each call with the next of `replies`; null never answers. */
async function log(
  ...replies: ([number, unknown] | null)[]
): Promise<{ url: string; calls: () => number; bodies: string[] }> {
  let calls = 0;
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on("end", () => {
      bodies.push(body);
      const reply = replies[Math.min(calls++, replies.length - 1)];
      if (reply) response.writeHead(reply[0], { "content-type": "application/json" }).end(JSON.stringify(reply[1]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  close = () => {
    server.closeAllConnections();
    server.close();
  };
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, calls: () => calls, bodies };
}

const credentials = { username: "u", password: "p" };
const records = [{ topic: "t", value: "x" }];
const done = [{ topic: "t", partition: 0, offset: 7, timestamp: 1 }];

describe("createUpstashProducer", () => {
  it("produces and answers what the log answered", async () => {
    const { url, bodies } = await log([200, done]);
    expect(await createUpstashProducer({ url, ...credentials }).produce(records)).toEqual(done);
    expect(bodies).toEqual([JSON.stringify([{ topic: "t", value: "x" }])]);
  });

  it("leaves it to its caller to try again what may pass", async () => {
    const { url, calls } = await log([503, { error: "away", status: 503 }]);
    await expect(createUpstashProducer({ url, ...credentials }).produce(records)).rejects.toThrow("away");
    expect(calls()).toBe(1);
  });

  it.each([
    [400, "invalid_request"],
    [422, "invalid_request"],
    [413, "payload_too_large"],
  ])("reports a refusal with %i for good, after one try", async (status, code) => {
    const { url, calls } = await log([status, { error: "no", status }]);
    await expect(createUpstashProducer({ url, ...credentials }).produce(records)).rejects.toMatchObject({ code });
    expect(calls()).toBe(1);
  });

  it("doesn't wait for a log that never answers", async () => {
    const { url } = await log(null);
    const producer = createUpstashProducer({ url, ...credentials, timeoutMs: 100 });
    await expect(producer.produce(records)).rejects.toThrow("within 100 ms");
  });
});
