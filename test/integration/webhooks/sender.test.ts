/** Webhooks go from workerd to real receivers: signed, tried again, in order, and never in each other's way. */
import { mkdtempSync, rmSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { validateWebhook } from "replicate";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { loopbackHosts } from "../../../src/webhooks/target-corpus.ts";
import type { WebhookMessage } from "../../../src/webhooks/types.ts";
import { startReceiver, startSenders, until } from "./harness.ts";
import type { Received, Receiver, SenderStack } from "./harness.ts";

const receivers: Receiver[] = [];
const listen = async (...args: Parameters<typeof startReceiver>): Promise<Receiver> => {
  const receiver = await startReceiver(...args);
  receivers.push(receiver);
  return receiver;
};

afterEach(async () => {
  await Promise.all(receivers.splice(0).map((receiver) => receiver.stop()));
});

let count = 0;

function message(url: string, rest: Partial<WebhookMessage> = {}): WebhookMessage {
  count += 1;
  const predictionId = rest.predictionId ?? `p${count}`;
  const event = rest.event ?? "completed";
  const body = JSON.stringify({ id: predictionId, status: "succeeded", output: "grüße 🎉", event });
  const webhookId = `msg_${predictionId}_${event}`;
  return { webhookId, predictionId, accountId: "acme", url, event, body, createdAt: Date.now(), ...rest };
}

function headersOf(received: Received): Record<string, string> {
  return Object.fromEntries(
    ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => [name, String(received.headers[name])]),
  );
}

describe("a sender that may reach loopback", () => {
  let senders: SenderStack;
  beforeAll(async () => {
    senders = await startSenders({ allowLoopback: true, accounts: ["acme", "other", "rotating"] });
  });
  afterAll(() => senders.stop());

  const stateOf = async (sent: WebhookMessage) =>
    (await senders.deliveries(sent.url, sent.predictionId)).find(({ webhookId }) => webhookId === sent.webhookId);

  it("delivers what standardwebhooks and replicate verify", async () => {
    const receiver = await listen((_received, response) => response.end("thanks"));
    const sent = message(receiver.url);
    await senders.enqueue([sent]);
    await until(() => receiver.received.length === 1);
    const received = receiver.received[0]!;
    const secret = await senders.secret("acme");
    expect(received.headers).toMatchObject({ "content-type": "application/json", "webhook-id": sent.webhookId });
    expect(received.body).toBe(sent.body);
    expect(new Webhook(secret).verify(received.body, headersOf(received))).toEqual(JSON.parse(sent.body));
    expect(await validateWebhook({ headers: headersOf(received), body: received.body } as never, secret)).toBe(true);
    const stranger = await senders.secret("other");
    expect(() => new Webhook(stranger).verify(received.body, headersOf(received))).toThrow("No matching signature");
    await until(async () => (await stateOf(sent))?.state === "delivered");
    expect(await stateOf(sent)).toMatchObject({
      tryCount: 1,
      response: "thanks",
      tries: [{ status: 200, error: null }],
    });
    expect(await senders.deliveries(sent.url, "someone-elses")).toEqual([]);
  });

  it("tries again after a 500, with the same webhook-id and a fresh timestamp", async () => {
    const receiver = await listen((_received, response, index) => response.writeHead(index === 0 ? 500 : 200).end());
    const sent = message(receiver.url);
    await senders.enqueue([sent, sent]);
    await until(() => receiver.received.length === 2);
    expect(receiver.received.map(({ headers }) => headers["webhook-id"])).toEqual([sent.webhookId, sent.webhookId]);
    const [first, second] = receiver.received.map(({ headers }) => Number(headers["webhook-timestamp"]));
    expect(second).toBeGreaterThanOrEqual(first!);
    await until(async () => (await stateOf(sent))?.state === "delivered");
    // What was delivered is not sent again: what comes behind it is the next.
    const behind = message(receiver.url);
    await senders.enqueue([sent, behind]);
    await until(async () => (await stateOf(behind))?.state === "delivered");
    const ids = receiver.received.map(({ headers }) => headers["webhook-id"]);
    expect(ids).toEqual([sent.webhookId, sent.webhookId, behind.webhookId]);
  });

  it("follows no redirect, and says so", async () => {
    const elsewhere = await listen((_received, response) => response.end());
    const receiver = await listen((_received, response, index) =>
      response.writeHead(index === 0 ? 307 : 200, { location: elsewhere.url }).end(),
    );
    const sent = message(receiver.url);
    await senders.enqueue([sent]);
    await until(async () => (await stateOf(sent))?.state === "delivered");
    expect((await stateOf(sent))?.tries[0]).toMatchObject({
      status: 307,
      error: `The receiver redirects to ${elsewhere.url}; redirects are not followed.`,
    });
    expect(elsewhere.received).toEqual([]);
  });

  it("disables a URL that answers 410, until it is asked to deliver again", async () => {
    const receiver = await listen((_received, response, index) => response.writeHead(index === 0 ? 410 : 200).end());
    const [first, second] = [message(receiver.url), message(receiver.url)];
    await senders.enqueue([first]);
    await until(async () => (await stateOf(first))?.state === "disabled");
    await senders.enqueue([second]);
    await until(async () => (await stateOf(second))?.state === "disabled");
    expect(receiver.received).toHaveLength(1);
    expect(await senders.redeliver(second.url, second.predictionId, second.webhookId)).toBe("queued");
    await until(async () => (await stateOf(second))?.state === "delivered");
    expect(await senders.redeliver(second.url, second.predictionId, "msg_unknown")).toBe("not_found");
  });

  it("waits as long as Retry-After says", async () => {
    const receiver = await listen((_received, response, index) =>
      response.writeHead(index === 0 ? 429 : 200, { "retry-after": "3" }).end(),
    );
    await senders.enqueue([message(receiver.url)]);
    await until(() => receiver.received.length === 2);
    expect(receiver.received[1]!.at - receiver.received[0]!.at).toBeGreaterThanOrEqual(2900);
  });

  it("lets nobody wait for a receiver that hangs", async () => {
    const hanging = await listen(() => {});
    const quick = await listen((_received, response) => response.end());
    const stuck = Array.from({ length: 20 }, () => message(hanging.url));
    const fine = Array.from({ length: 20 }, () => message(quick.url));
    await senders.enqueue([...stuck, ...fine]);
    await until(() => quick.received.length === 20);
    // Each that is given up makes room for another one: all of the first still hang.
    expect(hanging.received.length).toBeLessThanOrEqual(5);
    expect(hanging.mostOpen()).toBeLessThanOrEqual(5);
    // Which of those made in the same millisecond goes first is not said.
    const tried = async () => (await Promise.all(stuck.map(stateOf))).find((state) => (state?.tryCount ?? 0) > 0);
    await until(async () => (await tried()) !== undefined);
    expect((await tried())?.tries[0]).toMatchObject({ status: null, error: "No answer within 10 s." });
  });

  it("has several objects send to a host for which one is not enough", async () => {
    // Each of 15 answers lets one more request be open, beside the first 5. Then nobody is answered until 20 are open.
    const held: ServerResponse[] = [];
    const busy = await listen((_received, response, index) => {
      held.push(response);
      if (index < 15 || index >= 34) for (const each of held.splice(0)) each.end();
    });
    const sent = Array.from({ length: 150 }, () => message(busy.url));
    await senders.enqueue(sent);
    await until(() => busy.mostOpen() === 20);
    await until(() => busy.received.length === 150);
    expect(busy.mostOpen()).toBe(20);
    await until(async () => (await stateOf(sent[149]!))?.state === "delivered");
    expect(new Set(busy.received.map(({ headers }) => headers["webhook-id"])).size).toBe(150);
  });

  it("counts a 2xx whose body never ends as delivered, and reads no more than 4 KiB", async () => {
    const receiver = await listen((_received, response) => {
      response.writeHead(200);
      response.write("x".repeat(1_000_000));
    });
    const sent = message(receiver.url);
    await senders.enqueue([sent]);
    await until(async () => (await stateOf(sent))?.state === "delivered");
    expect((await stateOf(sent))?.response).toHaveLength(4096);
  });

  it("sends nothing over TLS that nobody vouches for, and reports a port where nobody listens", async () => {
    const receiver = await listen((_received, response) => response.end(), true);
    const closed = await startReceiver(() => {});
    await closed.stop();
    const untrusted = message(receiver.url);
    const refused = message(closed.url);
    await senders.enqueue([untrusted, refused]);
    for (const sent of [untrusted, refused]) {
      await until(async () => ((await stateOf(sent))?.tryCount ?? 0) > 0);
      expect((await stateOf(sent))?.tries[0]?.error).toBe(
        "The receiver could not be reached (name, connection or TLS).",
      );
    }
    expect(receiver.received).toEqual([]);
  });

  it("keeps the order of a prediction's events", async () => {
    const receiver = await listen((_received, response, index) =>
      setTimeout(() => response.writeHead(index === 0 ? 503 : 200).end(), 20),
    );
    const ids = Array.from({ length: 10 }, (_value, index) => `ordered${index}`);
    const createdAt = Date.now();
    await senders.enqueue(
      ids.flatMap((predictionId) =>
        (["completed", "logs", "output", "start"] as const).map((event) =>
          message(receiver.url, { predictionId, event, createdAt }),
        ),
      ),
    );
    await until(() => receiver.received.length === 41);
    for (const id of ids) {
      const events = receiver.received
        .filter(({ headers }) => String(headers["webhook-id"]).startsWith(`msg_${id}_`))
        .map(({ headers }) => String(headers["webhook-id"]).split("_").at(-1));
      expect([events[0], events.at(-1)]).toEqual(["start", "completed"]);
    }
  });

  it("signs with both secrets while one replaces the other", async () => {
    const receiver = await listen((_received, response) => response.end());
    const old = await senders.secret("rotating");
    const fresh = await senders.rotate("rotating");
    expect(await senders.secret("rotating")).toBe(fresh);
    await senders.enqueue([message(receiver.url, { accountId: "rotating" })]);
    await until(() => receiver.received.length === 1);
    const received = receiver.received[0]!;
    for (const secret of [old, fresh]) new Webhook(secret).verify(received.body, headersOf(received));
  });

  it("delivers a thousand", { timeout: 240_000 }, async () => {
    const receiver = await listen((_received, response) => response.end());
    const messages = Array.from({ length: 1000 }, () => message(receiver.url));
    for (let start = 0; start < messages.length; start += 100)
      await senders.enqueue(messages.slice(start, start + 100));
    for (const count of [250, 500, 750, 1000]) await until(() => receiver.received.length >= count);
    expect(new Set(receiver.received.map(({ headers }) => headers["webhook-id"])).size).toBe(1000);
    expect(receiver.mostOpen()).toBeLessThanOrEqual(5);
  });
});

it("finishes after a restart what waited before it", async () => {
  const statePath = mkdtempSync(join(tmpdir(), "edgeplane-webhooks-"));
  let healthy = false;
  const receiver = await listen((_received, response) => response.writeHead(healthy ? 200 : 500).end());
  const before = await startSenders({ allowLoopback: true, accounts: ["acme"], statePath });
  const messages = Array.from({ length: 5 }, () => message(receiver.url));
  await before.enqueue(messages);
  await until(() => receiver.received.length >= 5);
  await before.stop();
  healthy = true;
  receiver.received.length = 0;
  const after = await startSenders({ allowLoopback: true, accounts: ["acme"], statePath });
  try {
    await until(() => receiver.received.length >= 5);
    expect(new Set(receiver.received.map(({ headers }) => headers["webhook-id"]))).toEqual(
      new Set(messages.map(({ webhookId }) => webhookId)),
    );
  } finally {
    await after.stop();
    rmSync(statePath, { recursive: true, force: true });
  }
});

it("contacts no spelling of loopback unless the local switch is on", async () => {
  const receiver = await listen((_received, response) => response.end());
  const senders = await startSenders({ allowLoopback: false, accounts: ["acme"] });
  try {
    const messages = loopbackHosts.flatMap((host) => [
      message(`http://${host}:${receiver.port}/hook`),
      message(`https://${host}:${receiver.port}/hook`),
    ]);
    await senders.enqueue(messages);
    for (const sent of messages) {
      await until(async () => {
        const [delivery] = await senders.deliveries(sent.url, sent.predictionId);
        return delivery?.state === "failed" && delivery.reason?.startsWith("The URL is refused") === true;
      });
    }
    expect(receiver.received).toEqual([]);
  } finally {
    await senders.stop();
  }
});
