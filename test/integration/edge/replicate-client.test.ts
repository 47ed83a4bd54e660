/** npm `replicate`, unmodified, against the whole stack: only its base URL and its token are ours. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Replicate, { validateWebhook } from "replicate";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startStack } from "../../../scripts/lib/stack.ts";
import type { Stack } from "../../../scripts/lib/stack.ts";

const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-replicate-"));
let stack: Stack;
let client: Replicate;

const words = "one two three four five six seven eight nine ten";

beforeAll(async () => {
  stack = await startStack({ stateDir, allowLoopback: true, offline: true });
  client = new Replicate({ auth: stack.apiKey, baseUrl: `${stack.url}/v1` });
  await vi.waitUntil(async () => (await client.models.list()).results.length > 0, { timeout: 30_000, interval: 100 });
});

afterAll(async () => {
  await stack?.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

describe("run", () => {
  it("blocks until the output is there", async () => {
    expect(await client.run("local/hello-world", { input: { text: "Ada" } })).toBe("hello Ada");
  });

  it("polls", async () => {
    const wait = { mode: "poll", interval: 50 } as const;
    expect(await client.run("local/hello-world", { input: { text: "Bob" }, wait })).toBe("hello Bob");
  });

  it("takes a version", async () => {
    const { latest_version: latest } = await client.models.get("local", "hello-world");
    expect(await client.run(`local/hello-world:${latest?.id ?? ""}`, { input: { text: "Eve" } })).toBe("hello Eve");
  });

  it("polls on when the blocking wait is over and the prediction still runs", async () => {
    const options = { input: { text: words, delay_ms: 200 }, wait: { mode: "block", timeout: 1 } } as const;
    const output = await client.run("local/stream-words", options);
    expect((output as string[]).join("")).toBe(words);
  });

  it("tells what is wrong with an input", async () => {
    await expect(client.run("local/hello-world", { input: { text: 7 } })).rejects.toThrow("must be of type string");
  });
});

describe("streams", () => {
  it("yield each word as it is made", async () => {
    const events: [string, string][] = [];
    for await (const { event, data } of client.stream("local/stream-words", { input: { text: "a b c" } })) {
      events.push([event, data]);
    }
    expect(events).toEqual([
      ["output", "a"],
      ["output", " b"],
      ["output", " c"],
      ["done", "{}"],
    ]);
  });
});

describe("cancelling", () => {
  it("stops what runs", async () => {
    const created = await client.predictions.create({
      model: "local/stream-words",
      input: { text: words, delay_ms: 1000 },
    });
    await expect.poll(async () => (await client.predictions.get(created.id)).status).toBe("processing");
    expect((await client.predictions.cancel(created.id)).status).toBe("canceled");
    expect((await client.wait(created)).status).toBe("canceled");
  });
});

describe("lists", () => {
  it("page through predictions, and name models, versions and the account", async () => {
    const list = async () => {
      const ids: string[] = [];
      for await (const page of client.paginate(client.predictions.list)) ids.push(...page.map(({ id }) => id));
      return ids;
    };
    // The list follows within a second.
    await expect.poll(async () => (await list()).length).toBeGreaterThanOrEqual(6);
    const ids = await list();
    expect(new Set(ids).size).toBe(ids.length);
    expect((await client.models.search("hello")).results.map(({ name }) => name)).toEqual(["hello-world"]);
    const { results } = await client.models.versions.list("local", "hello-world");
    expect(results[0]?.openapi_schema).toHaveProperty("components.schemas.Input.properties.text");
    expect(await client.accounts.current()).toMatchObject({ type: "organization" });
  });
});

describe("files", () => {
  it("go up, are listed and go away", async () => {
    const file = await client.files.create(new Blob(["hello"], { type: "text/plain" }), { of: "test" });
    expect(file).toMatchObject({ size: 5, content_type: "text/plain", metadata: { of: "test" } });
    expect(await (await fetch(file.urls.get)).text()).toBe("hello");
    expect((await client.files.list()).results.map(({ id }) => id)).toContain(file.id);
    expect(await client.files.delete(file.id)).toBe(true);
  });
});

describe("webhooks", () => {
  it("arrive and validate with the client's own function", async () => {
    const { promise, resolve } = Promise.withResolvers<{ headers: IncomingHttpHeaders; body: string }>();
    const receiver = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        response.end();
        resolve({ headers: request.headers, body: Buffer.concat(chunks).toString("utf8") });
      });
    });
    await new Promise<void>((listening) => receiver.listen(0, "127.0.0.1", listening));
    const { port } = receiver.address() as AddressInfo;
    const created = await client.predictions.create({
      model: "local/hello-world",
      input: { text: "hook" },
      webhook: `http://127.0.0.1:${port}/hook`,
      webhook_events_filter: ["completed"],
    });
    const { headers, body } = await promise;
    receiver.close();
    const { key } = await client.webhooks.default.secret.get();
    const named = (name: string) => String(headers[name]);
    const message = {
      id: named("webhook-id"),
      timestamp: named("webhook-timestamp"),
      signature: named("webhook-signature"),
      body,
      secret: key,
    };
    expect(await validateWebhook(message)).toBe(true);
    expect(await validateWebhook({ ...message, body: `${body} ` })).toBe(false);
    expect(JSON.parse(body)).toMatchObject({ id: created.id, status: "succeeded", output: "hello hook" });
  });
});
