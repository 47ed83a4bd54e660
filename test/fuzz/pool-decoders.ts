/** What pools send, what a pool is sent, and what users of the log and of the bridge send. */
import fc from "fast-check";
import { EdgeMessageSchema, PoolMessageSchema } from "../../src/contract/channel.ts";
import { ClaimReplySchema, ClaimRequestSchema } from "../../src/contract/claim.ts";
import { EventsReplySchema, EventsRequestSchema } from "../../src/contract/event.ts";
import { JobSchema } from "../../src/contract/job.ts";
import { ManifestSchema } from "../../src/contract/manifest.ts";
import { MAX_NESTING, nestsWithin } from "../../src/contract/nesting.ts";
import { parseWith, readJson } from "../../src/routes/body.ts";
import { basicCredentials } from "../../src/routes/kafka/auth.ts";
import * as names from "../../src/contract/kafka-names.ts";
import * as dialect from "../../src/contract/kafka-requests.ts";
import * as kafka from "../../src/routes/kafka/headers.ts";
import { brokerOf, laneOfTopic } from "../../src/log/names.ts";
import { compileInputValidator } from "../../src/routes/replicate/input-schema.ts";
import { compileLinearPattern } from "../../src/routes/replicate/linear-pattern.ts";
import type { Json } from "../../src/contract/prediction.ts";
import { readCommands } from "../../gpu-pool/bridge/redis/requests.ts";
import { parseJson } from "../../gpu-pool/bridge/http.ts";
import type { Request as BridgeRequest } from "../../gpu-pool/bridge/http.ts";
import { decoder, demand } from "./decoder.ts";
import type { Decoder } from "./decoder.ts";
import { hostileJson, hostileJsonText, hostileText, nearly } from "./hostile.ts";
import { schemaDocuments } from "./schemas.ts";

const claim = { id: "0".repeat(26), token: "f".repeat(32), seq: 0 };
const manifest = {
  owner: "acme",
  name: "hello",
  version: "a".repeat(64),
  schema: { components: { schemas: { Input: { type: "object", properties: { text: { type: "string" } } } } } },
  lane: "default",
  maxBatchSize: 4,
  streams: "no",
};
const events = [
  { ...claim, type: "starting" },
  { ...claim, seq: 1, type: "output", chunk: ["a", { b: 1 }] },
  { ...claim, seq: 2, type: "log", text: "x" },
  { ...claim, seq: 3, type: "metric", metrics: { predict_time: 1 } },
  { ...claim, seq: 4, type: "succeeded", output: null, metrics: {} },
  { ...claim, seq: 4, type: "failed", kind: "crash", error: { code: "model_crashed", message: "x" } },
  { ...claim, seq: 4, type: "released", reason: "drain" },
];
const hello = {
  type: "hello",
  session: "session-1",
  pool: "box",
  version: "1",
  lanes: ["default"],
  devices: [{ id: "0", kind: "cuda", name: "H100", memoryBytes: 80e9 }],
  slots: 1,
  maxBatchSize: 4,
  models: [manifest],
};
const grant = {
  ...claim,
  verdict: "granted",
  attempt: 1,
  startNow: true,
  alone: false,
  model: { owner: "a", name: "b", version: "c" },
  input: {},
  startInMs: 1,
  endInMs: 1,
  cost: 1,
  stream: false,
};
const record = {
  topic: "greetings",
  value: "x",
  key: "k",
  partition: 0,
  timestamp: 1,
  headers: [{ key: "a", value: "b" }],
};
const place = { topic: "greetings", partition: 0, offset: 5 };

/** A JSON body as the pool's routes read it. */
const json = async (text: string): Promise<unknown> =>
  readJson(new Request("https://edge.test", { method: "POST", body: text }));

/** Node's own, which the Worker's types don't know. */
const { Buffer: NodeBuffer } = globalThis as unknown as { Buffer: { from(text: string): unknown } };
const bufferOf = (text: string) => NodeBuffer.from(text) as BridgeRequest["body"];

const bridgeRequests = (paths: readonly string[], bodies: readonly unknown[]): fc.Arbitrary<BridgeRequest> =>
  fc
    .record({
      path: nearly(fc.constantFrom(...paths)),
      query: hostileText,
      body: hostileJsonText(bodies),
      headers: fc.array(fc.tuple(fc.constantFrom("kafka-auto-offset-reset", "edgeplane-room", "cookie"), hostileText), {
        maxLength: 3,
      }),
    })
    .map(({ path, query, body, headers }) => ({
      method: "POST",
      segments: path.split("/").filter((part) => part !== ""),
      query: new URLSearchParams(query),
      header: (name) => headers.find(([known]) => known === name)?.[1],
      headers,
      body: bufferOf(body),
      json: () => parseJson(bufferOf(body)),
      text: () => body,
      signal: AbortSignal.any([]),
    }));

export const poolDecoders: readonly Decoder[] = [
  decoder(
    "claims",
    3,
    hostileJsonText([{ session: "session-1", jobs: [{ id: claim.id, epoch: 0, startNow: true }] }]),
    async (text) => parseWith(ClaimRequestSchema, await json(text)),
  ),
  decoder("events", 6, hostileJsonText([{ session: "session-1", events }]), async (text) =>
    parseWith(EventsRequestSchema, await json(text)),
  ),
  decoder("control channel: from the pool", 4, hostileJsonText([hello, { type: "draining" }]), async (text) =>
    parseWith(PoolMessageSchema, await json(text)),
  ),
  decoder(
    "control channel: to the pool",
    2,
    hostileJsonText([
      { type: "welcome", leaseMs: 1 },
      { type: "cancel", claims: [claim] },
      { type: "work", lane: "x" },
    ]),
    async (text) => parseWith(EdgeMessageSchema, await json(text)),
  ),
  decoder(
    "the edge's replies",
    2,
    hostileJsonText([
      { claims: [grant, { ...claim, verdict: "later" }] },
      { verdicts: [{ ...claim, verdict: "ok", next: 1 }], cancel: [claim] },
    ]),
    async (text) => {
      const value = await json(text);
      return "claims" in Object(value) ? parseWith(ClaimReplySchema, value) : parseWith(EventsReplySchema, value);
    },
  ),
  decoder("manifest", 4, hostileJsonText([manifest]), async (text) => parseWith(ManifestSchema, await json(text))),
  decoder(
    "job record",
    3,
    hostileJsonText([
      {
        v: 1,
        id: claim.id,
        lane: "default",
        priority: "high",
        model: "a/b",
        version: "c",
        cost: 1,
        startBy: 1,
        epoch: 0,
      },
    ]),
    async (text) => parseWith(JobSchema, await json(text)),
  ),
  decoder("input schema and input", 10, fc.tuple(schemaDocuments, hostileJson), ([document, input]) => {
    if (!nestsWithin(document, MAX_NESTING) || !nestsWithin(input, MAX_NESTING)) return;
    demand(Array.isArray(compileInputValidator(document)(input as Json)), "no answer");
  }),
  decoder(
    "pattern",
    4,
    fc.tuple(nearly(fc.constantFrom("^(a+)+$", "(a|aa)*b", "([a-z]*)*\\d{1,3}", "x{2,5}?")), hostileText),
    ([pattern, text]) => {
      let steps = 0;
      compileLinearPattern(pattern)?.test(text.slice(0, 2000), (more) => (steps += more));
      demand(steps < 5_000_000, "too many steps");
    },
  ),
  decoder("Basic credentials", 3, nearly(fc.constant(`Basic ${btoa("user:password")}`)), basicCredentials),
  decoder("names of topics, groups, instances", 3, hostileText, (text) => {
    laneOfTopic(text);
    demand(brokerOf(text, 3, 7) < 7, "no broker");
    names.checkName("group", text);
  }),
  decoder("log: headers of a consume", 4, nearly(fc.constant("500")), (number) => {
    refusable(() => kafka.brokerIndex(number));
  }),
  decoder(
    "log and bridge: Kafka",
    13,
    bridgeRequests(
      [
        "produce",
        "produce/t/v",
        "consume/g/i",
        "consume/g/i/t",
        "fetch/t/0/0",
        "commit/g/i/t/0/5",
        "offsets/latest/t/0",
      ],
      [record, [record, record], place, [place], { topics: ["a"], timeout: 5 }, { topicPartitionOffsets: [place] }, {}],
    ),
    (request) => {
      for (const read of [
        dialect.callOf,
        dialect.produceRequest,
        dialect.consumeRequest,
        dialect.consumeHeaders,
        dialect.roomOf,
        dialect.fetchRequest,
        dialect.commitRequest,
        dialect.webhookRequest,
        dialect.instanceRequest,
        dialect.offsetTime,
        (one: typeof request) => kafka.memberOptions(one),
      ])
        refusable(() => read(request));
      refusable(() => dialect.partitionsRequest(request, 3));
    },
  ),
  decoder(
    "bridge: Redis",
    3,
    bridgeRequests(
      ["", "pipeline", "multi-exec", "set/a/b"],
      [
        ["SET", "a", 1],
        [
          ["GET", "a"],
          ["EVAL", "x", 0],
        ],
      ],
    ),
    (request) => readCommands(request, 100),
  ),
  decoder("bridge: paths", 2, hostileText, names.pathSegments),
];

function refusable(read: () => unknown): void {
  try {
    read();
  } catch (thrown) {
    if (!(thrown instanceof Error && "status" in thrown && Number(thrown.status) < 500)) throw thrown;
  }
}
