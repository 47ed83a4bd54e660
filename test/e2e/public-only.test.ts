/** The stack as it comes, without the loopback switch: webhooks and URL inputs reach public addresses only. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { helloThrough } from "../../scripts/lib/hello.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { createWebhookReceiver } from "./webhook-receiver.ts";
import type { WebhookReceiver } from "./webhook-receiver.ts";

const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-public-"));
const lines: string[] = [];
let stack: Stack;
let receiver: WebhookReceiver;

beforeAll(async () => {
  receiver = await createWebhookReceiver();
  stack = await startStack({ stateDir, say: (line) => lines.push(line) });
  await helloThrough(stack);
});
afterAll(async () => {
  receiver.close();
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

function create(body: object): Promise<Response> {
  return fetch(`${stack.url}/v1/models/local/hello-world/predictions`, {
    method: "POST",
    headers: { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json", prefer: "wait" },
    body: JSON.stringify({ input: { text: "x" }, webhook_events_filter: ["completed"], ...body }),
  });
}

test.each(["127.0.0.1", "[::1]", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"])(
  "a webhook to %s gets nothing",
  async (host) => {
    const target = new URL(receiver.url);
    const response = await create({ webhook: `http://${host}:${target.port}/hook` });
    expect(response.status === 201 || (response.status >= 400 && response.status < 500)).toBe(true);
    await sleep(300);
    expect(receiver.received).toEqual([]);
  },
);
