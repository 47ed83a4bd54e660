/** Conformance at the borders: what is taken and what is refused, and in which words, is the same at every door. */
import { describe, expect, it } from "vitest";
import { JOIN_MS } from "./context.ts";
import type { LogContext, LogTarget } from "./context.ts";

const saying = (pattern: RegExp): unknown => expect.stringMatching(pattern);
const refusal = (status: number, code: string, error: RegExp) => ({
  status,
  json: { status, code, error: saying(error) },
});

export function borderTests(context: LogContext, target: LogTarget): void {
  const { kafka, fresh, topicWith, call } = context;
  const post = async (path: string, body: unknown, headers: Record<string, string> = {}) =>
    call("POST", path, JSON.stringify(body), headers);
  const ends = async (topic: string) =>
    (await post("/offsets/latest", { topic, partition: 0 })).json as { offset: number }[];

  describe("members that are null", () => {
    it("count as left out, in each call", async () => {
      const topic = await topicWith("first");
      const empty = { partition: null, key: null, timestamp: null, headers: null };
      const sent = await post("/produce", [{ topic, value: "null", ...empty }]);
      const [place] = sent.json as { partition: number; offset: number; timestamp: number }[];
      expect(sent.status).toBe(200);
      expect(Math.abs((place?.timestamp ?? 0) - Date.now())).toBeLessThan(60_000);
      const at = { topic, partition: place?.partition, offset: place?.offset };
      const fetched = await post("/fetch", { ...at, topicPartitionOffsets: null, timeout: null });
      expect(fetched.json).toMatchObject([{ value: "null", key: "", headers: [] }]);
      const several = { topic: null, partition: null, offset: null, topicPartitionOffsets: [at] };
      expect((await post("/fetch", several)).json).toMatchObject([{ value: "null" }]);
      const group = fresh("group");
      expect(await post(`/consume/${group}/i`, { topic, topics: null, timeout: 1 })).toMatchObject({ status: 200 });
      await call("POST", `/delete-consumer/${group}/i`);
    });

    it("are refused where something is needed", async () => {
      const topic = await topicWith("first");
      expect(await post("/produce", { topic, value: null })).toMatchObject(
        refusal(400, "invalid_request", /^body\.value: /),
      );
      expect(
        await post("/produce", [
          { topic, value: "x" },
          { topic: null, value: "x" },
        ]),
      ).toMatchObject(refusal(400, "invalid_request", /^body\[1\]\.topic: /));
      expect(await post("/offsets/latest", { topic, partition: null })).toMatchObject(
        refusal(400, "invalid_request", /^body\.partition: /),
      );
    });
  });

  describe("a coding that is not decoded", () => {
    it("is refused, and the codings that are taken are named", async () => {
      const topic = await topicWith("first");
      expect(await post("/produce", { topic, value: "x" }, { "content-encoding": "x-unknown" })).toMatchObject(
        refusal(415, "unsupported_encoding", /x-unknown.*gzip, deflate, br/),
      );
    });
  });

  describe("a batch that holds what can't be stored", () => {
    const huge = "x".repeat(1_100_000);

    it("is refused as a whole, naming the record, its size and the limit", async () => {
      const topic = await topicWith("first");
      const good = { topic, value: "good", partition: 0 };
      const refused = await post("/produce", [good, good, { ...good, value: huge }, good]);
      expect(refused).toMatchObject(
        refusal(413, "payload_too_large", /^Record 2 takes 11\d{5} bytes .* takes 10\d{5}\. No record was stored/),
      );
      const far = { ...good, timestamp: Date.now() + 7_200_000 };
      expect(await post("/produce", [good, far])).toMatchObject(
        refusal(400, "invalid_request", /^Record 1: its timestamp is 7\d{6} ms ahead; the log takes 3600000/),
      );
      expect(await post("/produce", [good, { ...good, partition: 99_999 }])).toMatchObject({ status: 404 });
      expect(await post("/produce", [good, { topic: "a b", value: "x" }])).toMatchObject(
        refusal(400, "invalid_request", /^body\[1\]\.topic: "a b" is no topic's name/),
      );
      expect(await ends(topic)).toEqual([{ topic, partition: 0, offset: 1 }]);
    });

    it("is refused once: nothing is there after the client's retries either", async () => {
      const topic = await topicWith("first");
      const place = { topic, partition: 0 };
      const retrying = Array.from({ length: 3 }, async () =>
        post("/produce", [
          { ...place, value: "y" },
          { ...place, value: huge },
        ]),
      );
      expect((await Promise.all(retrying)).map(({ status }) => status)).toEqual([413, 413, 413]);
      expect(await ends(topic)).toEqual([{ ...place, offset: 1 }]);
    });
  });

  describe("names", () => {
    const consume = async (group: string, instance: string, topic: string) =>
      post(
        `/consume/${encodeURIComponent(group)}/${encodeURIComponent(instance)}`,
        { topic, timeout: 500 },
        { "Kafka-Auto-Offset-Reset": "earliest", "Kafka-Enable-Auto-Commit": "false" },
      );

    it.each([
      ["blanks", "my group"],
      ["an emoji", "group 🎈"],
      ["a slash and a colon", "team/svc:worker"],
      ["an umlaut", "Größe"],
      ["a percent sign", "100%"],
      ["255 characters", "g".repeat(249)],
    ])("of groups and instances are any text, such as with %s", async (_what, name) => {
      const topic = await topicWith("first");
      const own = `${fresh("g").slice(-6)}${name}`;
      const deadline = Date.now() + JOIN_MS;
      let reply = await consume(own, name, topic);
      while (reply.status === 200 && JSON.stringify(reply.json) === "[]" && Date.now() < deadline) {
        reply = await consume(own, name, topic);
      }
      expect(reply).toMatchObject({ status: 200, json: [{ value: "first" }] });
      const path = `${encodeURIComponent(own)}/${encodeURIComponent(name)}`;
      expect(await call("POST", `/commit/${path}`)).toMatchObject({ status: 200 });
      expect((await post(`/committed/${path}`, { topic, partition: 0 })).json).toMatchObject([{ offset: 1 }]);
      const groups = (await call("GET", "/consumers")).json as { name: string; instances: { name: string }[] }[];
      expect(groups.find((group) => group.name === own)?.instances.map((one) => one.name)).toEqual([name]);
      expect(await call("POST", `/delete-consumer/${path}`)).toMatchObject({ status: 200 });
    });

    it.each([
      ["a control character", "a\nb"],
      ["256 characters", "g".repeat(256)],
    ])("of groups and instances with %s are refused", async (_what, name) => {
      const topic = await topicWith("first");
      expect(await consume(name, "i", topic)).toMatchObject(refusal(400, "invalid_request", /^The group's name must/));
      expect(await consume("g", name, topic)).toMatchObject(
        refusal(400, "invalid_request", /^The instance's name must/),
      );
    });

    it.each([
      ["blank in", true],
      ["🎈", true],
      ["x".repeat(250), true],
      ["..", true],
      ["x".repeat(249), false],
    ])("of topics are Kafka's: %s", async (name, isRefused) => {
      const sent = await post("/produce", { topic: name, value: "x" });
      if (isRefused) expect(sent).toMatchObject(refusal(400, "invalid_request", /^body\.topic: .* is no topic's name/));
      else expect(sent).toMatchObject({ status: 200 });
    });

    it("in a path may hold a percent sign that is no escape", async () => {
      const topic = await topicWith("first");
      for (const [path, value] of [
        ["100%", "100%"],
        ["100%25", "100%"],
        ["5%%20off", "5% off"],
        ["%e2%9c%93-%e2", "✓-%e2"],
      ] as const) {
        const sent = await call("GET", `/produce/${topic}/${path}`);
        expect(sent.status).toBe(200);
        const { partition, offset } = sent.json as { partition: number; offset: number };
        const [found] = await kafka().consumer().fetch({ topic, partition, offset });
        expect(found?.value).toBe(value);
      }
    });
  });

  describe("texts", () => {
    it("without half surrogate pairs: they become U+FFFD", async () => {
      const topic = await topicWith("first");
      const raw = `{"topic": "${topic}", "partition": 0, "key": "k\\ud83d", "value": "cut \\ud83d", "headers": [{"key": "h", "value": "\\udc00"}]}`;
      expect((await call("POST", "/produce", raw)).status).toBe(200);
      expect((await post("/fetch", { topic, partition: 0, offset: 1 })).json).toMatchObject([
        { key: "k\uFFFD", value: "cut \uFFFD", headers: [{ key: "h", value: "\uFFFD" }] },
      ]);
    });

    it("that are not UTF-8 are refused", async () => {
      const topic = await topicWith("first");
      const [head, tail] = [`{"topic": "${topic}", "value": "`, '"}'].map((text) => new TextEncoder().encode(text));
      const response = await fetch(`${target.url()}/produce`, {
        method: "POST",
        headers: { authorization: `Basic ${btoa(`${target.username}:${target.password}`)}` },
        body: new Uint8Array([...(head ?? []), 0xff, ...(tail ?? [])]),
      });
      expect({ status: response.status, json: await response.json() }).toMatchObject(
        refusal(400, "invalid_json", /not UTF-8/),
      );
    });

    it("that are empty are keys: records with it stay together", async () => {
      const topic = await topicWith("first");
      const sent = await post(
        "/produce",
        Array.from({ length: 40 }, () => ({ topic, key: "", value: "x" })),
      );
      expect(new Set((sent.json as { partition: number }[]).map(({ partition }) => partition)).size).toBe(1);
    });
  });

  describe("calls without a body", () => {
    it("name in the path what they want", async () => {
      const topic = await topicWith("first");
      expect((await call("GET", `/offsets/latest/${topic}/0`)).json).toEqual([{ topic, partition: 0, offset: 1 }]);
      expect((await call("GET", `/fetch/${topic}/0/0?timeout=500`)).json).toMatchObject([{ value: "first" }]);
      expect((await call("GET", `/fetch?topic=${topic}&partition=0&offset=0`)).json).toMatchObject([
        { value: "first" },
      ]);
      expect((await call("GET", `/committed/${fresh("g")}/i/${topic}/0`)).json).toEqual([
        { topic, partition: 0, offset: -1 },
      ]);
      expect(await call("GET", `/fetch/${topic}/zero/0`)).toMatchObject({ status: 400 });
      expect(await call("GET", `/committed/${fresh("g")}/i`)).toMatchObject(
        refusal(400, "invalid_request", /^The body is empty/),
      );
    });

    it("use the methods that they have", async () => {
      for (const [method, path, allow] of [
        ["PUT", "/produce", "GET, POST"],
        ["DELETE", "/topics", "GET"],
        ["GET", "/delete-consumer/g/i", "POST, DELETE"],
      ] as const) {
        expect(await call(method, path)).toMatchObject(
          refusal(405, "method_not_allowed", new RegExp(`with ${allow}\\.$`)),
        );
      }
    });

    it("may hold the credentials in the query for a webhook only", async () => {
      const access = new URLSearchParams({ user: target.username, pass: target.password });
      const at = async (path: string) =>
        (await fetch(`${target.url()}${path}${access.toString()}`, { method: "POST", body: "x" })).status;
      expect(await at(`/webhook?topic=${fresh("hook")}&`)).toBe(200);
      expect(await at(`/produce?`)).toBe(401);
    });
  });

  it("take the same headers, and refuse the same", async () => {
    const topic = await topicWith("first");
    const group = fresh("group");
    const consume = async (headers: Record<string, string>) =>
      (await post(`/consume/${group}/i`, { topic, timeout: 1 }, headers)).status;
    expect(await consume({ "edgeplane-room": "0" })).toBe(400);
    expect(await consume({ "edgeplane-room": "10001" })).toBe(400);
    expect(await consume({ "Kafka-Enable-Auto-Commit": "maybe" })).toBe(400);
    expect(await consume({ "Kafka-Auto-Commit-Interval": "-1" })).toBe(400);
    expect(await consume({ "edgeplane-room": "10000", "Kafka-Auto-Commit-Interval": "0" })).toBe(200);
    expect(await post(`/consume/${group}/i`, { topic, timeout: "soon" })).toMatchObject({ status: 400 });
    expect((await call("GET", `/consume/${group}/i/${topic}?timeout=soon`)).status).toBe(400);
    await call("POST", `/delete-consumer/${group}/i`);
  });
}
