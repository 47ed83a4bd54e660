/** The npm `replicate` client, unmodified, against the running stack: only the base URL and the key are ours. */
import Replicate, { validateWebhook } from "replicate";
import type { Prediction } from "replicate";
import { Webhook } from "standardwebhooks";
import { expect, inject, test } from "vitest";
import { createWebhookReceiver } from "./webhook-receiver.ts";

const { url, apiKey } = inject("stack");
const replicate = new Replicate({ auth: apiKey, baseUrl: `${url}/v1` });

test("run by model answers the output", async () => {
  expect(await replicate.run("local/hello-world", { input: { text: "replicate" } })).toBe("hello replicate");
});

test("run by version answers the output, and reports progress", async () => {
  const model = await replicate.models.get("local", "hello-world");
  const seen: string[] = [];
  const output = await replicate.run(
    `local/hello-world:${model.latest_version?.id ?? ""}`,
    { input: { text: "version" }, wait: { mode: "poll", interval: 20 } },
    (prediction) => seen.push(prediction.status),
  );
  expect(output).toBe("hello version");
  expect(seen.at(-1)).toBe("succeeded");
});

test("stream yields the words and done", async () => {
  const events: { event: string; data: string }[] = [];
  const text = "one two three four";
  for await (const event of replicate.stream("local/stream-words", { input: { text, delay_ms: 5 } }))
    events.push(event);
  const output = events.filter(({ event }) => event === "output").map(({ data }) => data);
  expect(output.join("")).toBe(text);
  expect(output.length).toBeGreaterThan(1);
  expect(events.at(-1)?.event).toBe("done");
});

test("an iterator's output comes back as a list", async () => {
  const output = await replicate.run("local/stream-words", { input: { text: "a b c", delay_ms: 0 } });
  expect(output).toEqual(["a", " b", " c"]);
});

test("cancel ends a running prediction", async () => {
  const words = Array.from({ length: 200 }, (_, index) => `w${index}`).join(" ");
  const created = await replicate.predictions.create({
    model: "local/stream-words",
    input: { text: words, delay_ms: 100 },
    wait: false,
  });
  await until(created.id, ({ status }) => status === "processing");
  await replicate.predictions.cancel(created.id);
  const ended = await replicate.wait(created, { interval: 50 });
  expect(ended.status).toBe("canceled");
});

test("an input that the schema refuses is named", async () => {
  const refused = replicate.predictions.create({ model: "local/hello-world", input: { text: 1, extra: true } });
  await expect(refused).rejects.toThrow(/422/);
});

test("webhooks arrive, and validateWebhook accepts them; a changed one it doesn't", async () => {
  const receiver = await createWebhookReceiver();
  try {
    const { key } = await replicate.webhooks.default.secret.get();
    const created = await replicate.predictions.create({
      model: "local/hello-world",
      input: { text: "webhook" },
      webhook: receiver.url,
      webhook_events_filter: ["completed"],
    });
    await receiver.until((received) => received.length > 0);
    const [{ headers, body } = { headers: {}, body: "" }] = receiver.received;
    const request = () => new Request(receiver.url, { method: "POST", headers, body });
    expect(await validateWebhook(request(), key)).toBe(true);
    const forged = new Request(receiver.url, { method: "POST", headers, body: body.replace("webhook", "forged!") });
    expect(await validateWebhook(forged, key).catch(() => false)).toBe(false);
    expect(new Webhook(key).verify(body, headers)).toMatchObject({
      id: created.id,
      status: "succeeded",
      output: "hello webhook",
    });
    expect(receiver.received.length).toBe(1);
  } finally {
    receiver.close();
  }
});

test("paginate walks all predictions, newest first", async () => {
  const made = new Set<string>();
  for (const text of ["p1", "p2", "p3"]) {
    const { id } = await replicate.predictions.create({ model: "local/hello-world", input: { text } });
    made.add(id);
  }
  const seen: Prediction[] = [];
  await expect
    .poll(async () => {
      seen.length = 0;
      for await (const page of replicate.paginate(() => replicate.predictions.list())) seen.push(...page);
      return [...made].every((id) => seen.some((prediction) => prediction.id === id));
    })
    .toBe(true);
  const times = seen.map(({ created_at }) => created_at);
  expect(times).toEqual(times.toSorted().toReversed());
});

test("models are listed with their input schema", async () => {
  const model = await replicate.models.get("local", "hello-world");
  expect(model).toMatchObject({ owner: "local", name: "hello-world" });
  const { results } = await replicate.models.list();
  expect(results.map(({ name }) => name)).toContain("stream-words");
  const version = await replicate.models.versions.get("local", "hello-world", model.latest_version?.id ?? "");
  expect(version.openapi_schema).toMatchObject({
    components: { schemas: { Input: { properties: { text: { type: "string" } } } } },
  });
});

async function until(id: string, holds: (prediction: Prediction) => boolean): Promise<void> {
  await expect.poll(async () => holds(await replicate.predictions.get(id)), { interval: 50 }).toBe(true);
}
