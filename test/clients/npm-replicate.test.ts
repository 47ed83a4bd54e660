/** npm `replicate`, unmodified, against the whole stack behind TLS: only its base URL and its token are ours. */
import { readFileSync } from "node:fs";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import Replicate, { validateWebhook } from "replicate";
import type { FileOutput, Page, Prediction } from "replicate";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createWebhookReceiver } from "../e2e/webhook-receiver.ts";
import { startClientStack } from "./stack.ts";
import type { ClientStack } from "./stack.ts";

let stack: ClientStack;
let replicate: Replicate;
const words = (count: number) => Array.from({ length: count }, (_, index) => `w${index}`).join(" ");

beforeAll(async () => {
  stack = await startClientStack();
  setDefaultCACertificates([...getCACertificates(), readFileSync(stack.certificate, "utf8")]);
  replicate = new Replicate({ auth: stack.apiKey, baseUrl: `${stack.url}/v1` });
});
afterAll(async () => stack?.stop());

describe("run", () => {
  it.each([
    ["blocks", { mode: "block" }],
    ["blocks for a second at most, then polls", { mode: "block", timeout: 1, interval: 100 }],
    ["polls", { mode: "poll", interval: 100 }],
  ] as const)("%s until the output is there", async (_how, wait) => {
    const input = { text: words(12), delay_ms: 150 };
    const seen: string[] = [];
    const output = await replicate.run("local/stream-words", { input, wait }, ({ status }) => seen.push(status));
    expect((output as string[]).join("")).toBe(input.text);
    expect(seen.at(-1)).toBe("succeeded");
  });

  it("answers by version too", async () => {
    const { latest_version: latest } = await replicate.models.get("local", "hello-world");
    const output = await replicate.run(`local/hello-world:${latest?.id ?? ""}`, { input: { text: "you" } });
    expect(output).toBe("hello you");
  });

  it("is canceled by its signal", async () => {
    const controller = new AbortController();
    let last: Prediction | undefined;
    const options = {
      input: { text: words(500), delay_ms: 100 },
      signal: controller.signal,
      wait: { mode: "poll", interval: 50 },
    } as const;
    await replicate.run("local/stream-words", options, (prediction) => {
      last = prediction;
      if (prediction.status === "processing") controller.abort();
    });
    expect(last?.status).toBe("canceled");
    expect((await replicate.predictions.get(last?.id ?? "")).status).toBe("canceled");
  });

  it("tells what the schema refuses", async () => {
    await expect(replicate.run("local/hello-world", { input: { text: 7 } })).rejects.toThrow(/422/);
  });
});

describe("files", () => {
  it("go in as Blobs, and come out as FileOutput", async () => {
    const output = await replicate.run("local/shout", { input: { file: new Blob(["quiet"], { type: "text/plain" }) } });
    const file = output as FileOutput;
    expect(file.url().href).toMatch(new RegExp(`^${stack.url}/v1/outputs/`));
    expect(await (await file.blob()).text()).toBe("QUIET");
  });

  it.each(["shouted.txt", "naïve 🎉.txt"])("keep the name that the model gave them: %s", async (name) => {
    const file = (await replicate.run("local/shout", { input: { file: new Blob(["quiet"]), name } })) as FileOutput;
    expect(decodeURIComponent(file.url().pathname.split("/").at(-1) ?? "")).toBe(name);
    const { headers } = await fetch(file.url());
    expect(headers.get("content-disposition")).toContain(
      name === "shouted.txt" ? `"${name}"` : encodeURIComponent(name),
    );
  });

  it("go in as data URIs, and as URLs of files", async () => {
    const file = await replicate.files.create(new Blob(["by url"], { type: "text/plain" }), { of: "test" });
    expect((await replicate.files.get(file.id)).metadata).toEqual({ of: "test" });
    for (const [input, text] of [
      [file.urls.get, "BY URL"],
      [`data:text/plain;base64,${btoa("by data")}`, "BY DATA"],
    ]) {
      const output = (await replicate.run("local/shout", { input: { file: input } })) as FileOutput;
      expect(await (await output.blob()).text()).toBe(text);
    }
    expect(await replicate.files.delete(file.id)).toBe(true);
  });
});

describe("stream", () => {
  it("yields the words as they are made, and files as FileOutput", async () => {
    const input = { text: words(5), delay_ms: 20 };
    const events = [];
    for await (const event of replicate.stream("local/stream-words", { input })) events.push(event);
    const output = events.filter(({ event }) => event === "output").map(({ data }) => data);
    expect([output.join(""), output.length, events.at(-1)?.event]).toEqual([input.text, 5, "done"]);
  });
});

describe("an iterator that yields nothing", () => {
  it("streams no output, and gives an empty list", async () => {
    const events = [];
    for await (const { event, data } of replicate.stream("local/silent", { input: {} })) events.push([event, data]);
    expect(events).toEqual([
      ["logs", "nothing to say\n"],
      ["done", "{}"],
    ]);
    expect(await replicate.run("local/silent", { input: {} })).toEqual([]);
  });
});

describe("models and deployments", () => {
  it("are made, read, searched, run, changed and deleted", async () => {
    const { latest_version: latest } = await replicate.models.get("local", "hello-world");
    const made = await replicate.models.create("local", "npm-made", {
      visibility: "private",
      hardware: "cpu",
      description: "made by npm",
    });
    expect(made).toMatchObject({ owner: "local", name: "npm-made", visibility: "private", run_count: 0 });
    expect((await replicate.models.search("made by npm")).results.map(({ name }) => name)).toEqual(["npm-made"]);
    expect((await replicate.models.versions.list("local", "hello-world")).results[0]?.id).toBe(latest?.id);
    const release = {
      name: "greeter",
      model: "local/hello-world",
      version: latest?.id ?? "",
      hardware: "cpu",
      min_instances: 0,
      max_instances: 1,
    };
    expect(await replicate.deployments.create(release)).toMatchObject({ current_release: { number: 1 } });
    const created = await replicate.deployments.predictions.create("local", "greeter", { input: { text: "d" } });
    expect((await replicate.wait(created)).output).toBe("hello d");
    const updated = await replicate.deployments.update("local", "greeter", { max_instances: 2 });
    expect(updated.current_release.number).toBe(2);
    expect((await replicate.deployments.list()).results.map(({ name }) => name)).toEqual(["greeter"]);
    expect(await replicate.deployments.delete("local", "greeter")).toBe(true);
    const gone = await replicate.request("/models/local/npm-made", { method: "DELETE" });
    expect(gone.status).toBe(204);
    expect((await replicate.hardware.list()).map(({ sku }) => sku)).toContain("cpu");
    expect(await replicate.accounts.current()).toMatchObject({ username: "local" });
    await expect(replicate.trainings.list()).rejects.toThrow(/501/);
  });
});

describe("lists", () => {
  it("are paginated to their end", async () => {
    const made = [];
    for (let index = 0; index < 3; index += 1) {
      made.push((await replicate.predictions.create({ model: "local/hello-world", input: { text: "p" } })).id);
    }
    const all = async () => {
      const ids: string[] = [];
      for await (const page of replicate.paginate(replicate.predictions.list)) ids.push(...page.map(({ id }) => id));
      return ids;
    };
    await expect.poll(all).toEqual(expect.arrayContaining(made));
    const ofOne = async () => {
      const answer = await replicate.request("/predictions?limit=1", { method: "GET" });
      return answer.json() as Promise<Page<Prediction>>;
    };
    const pages: string[][] = [];
    for await (const page of replicate.paginate(ofOne)) pages.push(page.map(({ id }) => id));
    expect(pages.length).toBeGreaterThan(3);
    expect(new Set(pages.flat()).size).toBe(pages.flat().length);
  });
});

describe("webhooks", () => {
  it("arrive, and validate with the client's own function", async () => {
    const receiver = await createWebhookReceiver();
    const { key } = await replicate.webhooks.default.secret.get();
    await replicate.predictions.create({
      model: "local/hello-world",
      input: { text: "hook" },
      webhook: receiver.url,
      webhook_events_filter: ["completed"],
    });
    await receiver.until((received) => received.length > 0);
    receiver.close();
    const [{ headers, body } = { headers: {}, body: "" }] = receiver.received;
    const request = (text: string) => new Request(receiver.url, { method: "POST", headers, body: text });
    expect(await validateWebhook(request(body), key)).toBe(true);
    expect(await validateWebhook(request(`${body} `), key)).toBe(false);
  });
});

describe("webhooks of `output` alone", () => {
  it.each([
    ["hello-world", { text: "you" }, "hello you"],
    ["stream-words", { text: words(3), delay_ms: 10 }, ["w0", " w1", " w2"]],
  ])("bring %s's whole output in the end", async (model, input, output) => {
    const receiver = await createWebhookReceiver();
    const wanted = { input, webhook: receiver.url, webhook_events_filter: ["output" as const] };
    const { id } = await replicate.predictions.create({ model: `local/${model}`, ...wanted });
    const seen = () => receiver.received.map(({ body }) => JSON.parse(body) as Prediction);
    await expect.poll(() => seen().at(-1)).toMatchObject({ id, status: "succeeded", output });
    receiver.close();
  });
});

describe("without a pool", () => {
  beforeAll(async () => stack.stopPool());

  it("a prediction that was aborted has failed, to this client", async () => {
    const wanted = { model: "local/stream-words", input: { text: "late" }, start_timeout: 1 } as const;
    const late = await replicate.predictions.create(wanted);
    await expect(replicate.wait(late, { interval: 100 })).rejects.toThrow("No pool started it before its deadline");
    const headers = { authorization: `Bearer ${stack.apiKey}` };
    const seen: unknown = await (await fetch(`${stack.plainUrl}/v1/predictions/${late.id}`, { headers })).json();
    expect(seen).toMatchObject({ status: "aborted", error_code: "deadline_before_start" });
  });
});
