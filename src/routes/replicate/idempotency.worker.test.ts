/** Keys by which clients name their predictions: `Idempotency-Key`, and the id of a `PUT`. */
import { beforeAll, expect, it } from "vitest";
import { submission } from "../../../test/unit/submission.ts";
import { callJson, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import { newPredictionId } from "../../contract/ids.ts";
import * as shardClient from "../../shard/client.ts";
import type { SubmitAnswer } from "../../shard/types.ts";
import { inputBlobKey } from "../../storage/blobs.ts";
import type { AppContext, ShardPort } from "../app.ts";
import { acceptSubmission } from "./accept.ts";
import type { Accepted } from "./accept.ts";

const VERSION = "a".repeat(64);
let key = "";
let other = "";

const predict = (body: Record<string, unknown>, headers: Record<string, string> = {}) =>
  callJson("/v1/predictions", { key, headers, body: { version: VERSION, input: { text: "Ada" }, ...body } });

beforeAll(async () => {
  key = await newKey("acme");
  other = await newKey("other");
  await offer({ name: "hello" });
});

it("makes one prediction of one key, whatever the order of the fields", async () => {
  const headers = { "idempotency-key": crypto.randomUUID() };
  const first = await predict({ input: { text: "Ada", n: 1 } }, headers);
  const second = await predict({ input: { n: 1, text: "Ada" } }, headers);
  expect(second.body["id"]).toBe(first.body["id"]);
  expect(second.headers.get("idempotent-replayed")).toBe("true");
});

it("answers what was accepted, whatever has become of the model since", async () => {
  const schemaOf = (required: string[]) => ({ components: { schemas: { Input: { type: "object", required } } } });
  const name = "changes";
  await offer({ name, version: "c".repeat(64), schema: schemaOf(["text"]) });
  const headers = { "idempotency-key": crypto.randomUUID() };
  const first = await predict({ version: `acme/${name}` }, headers);
  expect(first.status).toBe(201);
  await offer({ name, version: "d".repeat(64), schema: schemaOf(["prompt"]) });
  expect((await predict({ version: `acme/${name}` }, { "idempotency-key": "another" })).status).toBe(422);
  const again = await predict({ version: `acme/${name}` }, headers);
  expect([again.status, again.body["id"], again.body["input"]]).toEqual([201, first.body["id"], { text: "Ada" }]);
  expect(again.headers.get("idempotent-replayed")).toBe("true");
  const waiting = await predict({ version: `acme/${name}` }, { ...headers, prefer: "wait=1" });
  expect([waiting.status, waiting.body["id"]]).toEqual([202, first.body["id"]]);
  const changed = await predict({ version: `acme/${name}`, input: { text: "Grace" } }, headers);
  expect([changed.status, changed.body["code"]]).toEqual([422, "invalid_input"]);
  const theirs = await callJson("/v1/predictions", {
    key: other,
    headers,
    body: { version: `acme/${name}`, input: { text: "Ada" } },
  });
  expect([theirs.status, theirs.body["code"]]).toEqual([422, "invalid_input"]);
});

it("refuses the key with another payload, and keeps the first one's input", async () => {
  const headers = { "idempotency-key": crypto.randomUUID() };
  const large = "x".repeat(20_000);
  const first = await predict({ input: { text: large } }, headers);
  const second = await predict({ input: { text: `${large}y` } }, headers);
  expect(second.status).toBe(422);
  expect(second.body["code"]).toBe("idempotency_key_reused");
  const { body } = await callJson(`/v1/predictions/${String(first.body["id"])}`, { key });
  expect(body["input"]).toEqual({ text: large });
});

it("keeps the input of a request whose twin finds the queue full", async () => {
  const id = newPredictionId(16);
  const large = { ...submission(id), input: { text: "x".repeat(20_000) }, inputBlob: inputBlobKey(id) };
  const c = { env: testEnv } as AppContext;
  const shard = shardClient as unknown as ShardPort;
  let accepted: Accepted | null = null;
  const full = {
    async submit(): Promise<SubmitAnswer> {
      accepted = await acceptSubmission(c, shard, large, 0);
      return { outcome: "full", limit: 1 };
    },
  } as unknown as ShardPort;
  await expect(acceptSubmission(c, full, large, 0)).rejects.toMatchObject({ code: "queue_full" });
  expect(accepted).toMatchObject({ created: true });
  expect(await testEnv.BLOBS.head(inputBlobKey(id))).not.toBeNull();
});

it("keeps accounts apart", async () => {
  const headers = { "idempotency-key": "same" };
  const mine = await predict({}, headers);
  const theirs = await callJson("/v1/predictions", {
    key: other,
    headers,
    body: { version: VERSION, input: { text: "Ada" } },
  });
  expect(theirs.status).toBe(201);
  expect(theirs.body["id"]).not.toBe(mine.body["id"]);
});

it("finds what a PUT made by the client's id", async () => {
  const body = { version: VERSION, input: { text: "Ada" } };
  const made = await callJson("/v1/predictions/order-17", { method: "PUT", key, body });
  expect(made.status).toBe(201);
  const again = await callJson("/v1/predictions/order-17", { method: "PUT", key, body });
  expect([again.status, again.body["id"]]).toEqual([200, made.body["id"]]);
  expect((await callJson("/v1/predictions/order-17", { key })).body["id"]).toBe(made.body["id"]);
  expect((await callJson("/v1/predictions/order-17", { key: other })).status).toBe(404);
  const canceled = await callJson("/v1/predictions/order-17/cancel", { method: "POST", key });
  expect(canceled.body["status"]).toBe("canceled");
});
