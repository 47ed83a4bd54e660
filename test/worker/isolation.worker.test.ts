/**
 * Tenant isolation: whatever an account asks about another's things, it gets what it would get if they weren't there:
 * the same status, body and headers, after the same calls to objects, database and bucket, so that time tells nothing
 * either. And what it does changes nothing of the other's.
 */
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { beforeAll, expect, test, vi } from "vitest";
import { newPredictionId } from "../../src/contract/ids.ts";
import { decodeCursor, encodeCursor } from "../../src/routes/replicate/cursor.ts";
import { PROPERTY_SEED } from "../property-seed.ts";
import { input, PRIVATE, settle, settled, views } from "./belongings.ts";
import type { Belongings } from "./belongings.ts";
import { createCountedEnv } from "./counted-env.ts";
import { call, callJson, offer, testEnv } from "./edge-harness.ts";

const RUNS = 12;
/** Longer than an isolate remembers that a model isn't there. */
const FORGOTTEN_MS = 1100;

/** The clock of this isolate, Worker and test, goes forward: what it remembers for a second falls due. */
let aheadMs = 0;
const now = Date.now.bind(Date);
function forget(): void {
  aheadMs += FORGOTTEN_MS;
}

let victim: Belongings;
let stranger: Belongings;
/** All that the victim sees, before. */
let before: string[];

beforeAll(async () => {
  vi.spyOn(Date, "now").mockImplementation(() => now() + aheadMs);
  await offer({ name: "isolated", streams: "iterate" });
  [victim, stranger] = [await settle("isolated-a"), await settle("isolated-b")];
  before = await views(victim);
});

type Attempt = { method: string; path: string; headers?: Record<string, string>; body?: unknown };
/** A call about something of somebody's, and the same about what isn't there. */
type Probe = { real: Attempt; absent: Attempt };

const pick = <T>(list: readonly T[], at: number): T => {
  const one = list[at % list.length];
  if (one === undefined) throw new Error("nothing to pick from");
  return one;
};
const randomText = (form: string): string => {
  const bytes = crypto.getRandomValues(new Uint8Array(form.length));
  const alphabet = /^[0-9a-f]+$/.test(form) ? "0123456789abcdef" : "0123456789abcdefghjkmnpqrstvwxyz";
  return [...bytes].map((byte) => alphabet.charAt(byte % alphabet.length)).join("");
};

const probes: Record<string, (at: number) => Probe> = {};
function about(
  name: string,
  thing: (at: number) => [real: string, absent: string],
  attempt: (id: string, at: number) => Attempt,
): void {
  probes[name] = (at) => {
    const [real, absent] = thing(at);
    return { real: attempt(real, at), absent: attempt(absent, at) };
  };
}

const absentPrediction = newPredictionId(Number(testEnv.SHARD_COUNT));
const prediction = (at: number): [string, string] => [
  pick(victim.predictions, at),
  newPredictionId(Number(testEnv.SHARD_COUNT)),
];
const file = (at: number): [string, string] => [pick(victim.files, at), randomText(pick(victim.files, at))];
const ownSignature = (which: string) => stranger.links.find((link) => link.includes(which))?.split("?")[1] ?? "";

about("read a prediction", prediction, (id) => ({ method: "GET", path: `/v1/predictions/${id}` }));
about("ask whether a prediction is there", prediction, (id) => ({ method: "HEAD", path: `/v1/predictions/${id}` }));
about("ask whether its stream is", prediction, (id) => ({ method: "HEAD", path: `/v1/predictions/${id}/stream` }));
about("cancel a prediction", prediction, (id) => ({ method: "POST", path: `/v1/predictions/${id}/cancel` }));
about("delete a prediction", prediction, (id) => ({ method: "DELETE", path: `/v1/predictions/${id}` }));
about("stream a prediction", prediction, (id, at) => ({
  method: "GET",
  path: `/v1/predictions/${id}/stream`,
  headers: { "last-event-id": String(at % 5) },
}));
about("stream with a signature of one's own", prediction, (id) => ({
  method: "GET",
  path: `/v1/predictions/${id}/stream?${ownSignature("/stream?")}`,
}));
about("read the delivery log", prediction, (id) => ({ method: "GET", path: `/v1/predictions/${id}/webhooks` }));
about("redeliver a webhook", prediction, (id) => ({
  method: "POST",
  path: `/v1/predictions/${id}/webhooks/${victim.webhookId}/redeliver`,
}));
about(
  "redeliver another's webhook as one's own",
  () => [victim.webhookId, `msg_${randomText(victim.webhookId)}`],
  (id) => ({ method: "POST", path: `/v1/predictions/${pick(stranger.predictions, 0)}/webhooks/${id}/redeliver` }),
);
about("read an output file", prediction, (id) => ({
  method: "GET",
  path: `/v1/outputs/${id}/${victim.token}/out.txt?${ownSignature("/outputs/")}`,
}));
about(
  "read by another's own id",
  () => [victim.ownId, "own-id-of-nobody"],
  (id) => ({ method: "GET", path: `/v1/predictions/${id}` }),
);
about(
  "cancel by another's own id",
  () => [victim.ownId, "own-id-of-nobody"],
  (id) => ({ method: "POST", path: `/v1/predictions/${id}/cancel` }),
);
about(
  "stream by another's own id",
  () => [victim.ownId, "own-id-of-nobody"],
  (id) => ({ method: "GET", path: `/v1/predictions/${id}/stream` }),
);
about("read a file", file, (id) => ({ method: "GET", path: `/v1/files/${id}` }));
about("delete a file", file, (id) => ({ method: "DELETE", path: `/v1/files/${id}` }));
about("download a file", file, (id) => ({ method: "GET", path: `/v1/files/${id}/download` }));
about("download with a signature of one's own", file, (id) => ({
  method: "GET",
  path: `/v1/files/${id}/download?${ownSignature("/files/")}`,
}));
about(
  "list behind another's cursor",
  (at) => twins(pick(victim.cursors, at)),
  (cursor) => ({ method: "GET", path: `/v1/predictions?cursor=${cursor}` }),
);
about(
  "list files behind another's cursor",
  (at) => twins(pick(victim.fileCursors, at)),
  (cursor) => ({ method: "GET", path: `/v1/files?cursor=${cursor}` }),
);
about(
  "use another's idempotency key",
  () => [victim.idempotencyKey, "key-of-nobody"],
  (key) => ({
    method: "POST",
    path: "/v1/predictions",
    headers: { "idempotency-key": key },
    body: { version: "acme/isolated", input },
  }),
);
const create = { version: "acme/isolated", input };
about(
  "use another's own id",
  () => [victim.takenId, "taken-id-of-nobody"],
  (id) => ({ method: "PUT", path: `/v1/predictions/${id}`, body: create }),
);
about(
  "take another's prediction id for one's own",
  () => [victim.takenPrediction, absentPrediction],
  (id) => ({ method: "PUT", path: `/v1/predictions/${id}`, body: create }),
);
const upload = (): [string, string] => [victim.upload, randomText(victim.upload)];
about("read an upload", upload, (id) => ({ method: "GET", path: `/v1/uploads/${id}` }));
about("send a part", upload, (id) => ({
  method: "PUT",
  path: `/v1/uploads/${id}/parts/1`,
  body: "x",
  headers: { "content-length": "1" },
}));
about("complete an upload", upload, (id) => ({ method: "POST", path: `/v1/uploads/${id}/complete` }));
about("give an upload up", upload, (id) => ({ method: "DELETE", path: `/v1/uploads/${id}` }));
const model = (): [string, string] => [`${victim.account}/${PRIVATE}`, `${victim.account}/no-model`];
about("read a private model", model, (name) => ({ method: "GET", path: `/v1/models/${name}` }));
about("read its versions", model, (name) => ({ method: "GET", path: `/v1/models/${name}/versions` }));
about("read its version", model, (name) => ({ method: "GET", path: `/v1/models/${name}/versions/${victim.version}` }));
about("read its document", model, (name) => ({ method: "GET", path: `/v1/models/${name}/openapi.json` }));
about("change it", model, (name) => ({ method: "PATCH", path: `/v1/models/${name}`, body: { visibility: "public" } }));
about("delete it", model, (name) => ({ method: "DELETE", path: `/v1/models/${name}` }));
about("list its secrets", model, (name) => ({ method: "GET", path: `/v1/models/${name}/secrets` }));
about("set a secret of it", model, (name) => ({
  method: "PUT",
  path: `/v1/models/${name}/secrets/HF_TOKEN`,
  body: { value: "x" },
}));
about("delete a secret of it", model, (name) => ({ method: "DELETE", path: `/v1/models/${name}/secrets/HF_TOKEN` }));
about("delete its version", model, (name) => ({
  method: "DELETE",
  path: `/v1/models/${name}/versions/${victim.version}`,
}));
about("run it", model, (name) => ({ method: "POST", path: `/v1/models/${name}/predictions`, body: { input } }));
about("run its version by name", model, (name) => ({
  method: "POST",
  path: "/v1/predictions",
  body: { version: `${name}:${victim.version}`, input },
}));
about("deploy it", model, (name, at) => ({
  method: "POST",
  path: "/v1/deployments",
  body: { name: `d${at}`, model: name, version: victim.version, hardware: "cpu", min_instances: 0, max_instances: 1 },
}));
about(
  "run its version by number",
  () => [victim.version, "0".repeat(64)],
  (version) => ({ method: "POST", path: "/v1/predictions", body: { version, input } }),
);
about(
  "search for it",
  () => [victim.account, "no-account"],
  (name) => ({ method: "GET", path: `/v1/models?query=${name}` }),
);
const deployment = model;
about("read its deployment", deployment, (name) => ({ method: "GET", path: `/v1/deployments/${name}` }));
about("delete its deployment", deployment, (name) => ({ method: "DELETE", path: `/v1/deployments/${name}` }));
about("run its deployment", deployment, (name) => ({
  method: "POST",
  path: `/v1/deployments/${name}/predictions`,
  body: { input },
}));
about("fetch an input as a pool", prediction, (id) => ({
  method: "GET",
  path: `/pool/v1/blobs/${id}/${victim.token}/input`,
}));

/** A cursor, and one at the same time behind an entry that isn't there. */
function twins(cursor: string): [string, string] {
  const place = decodeCursor(cursor);
  return [cursor, place === null ? "" : encodeCursor({ ...place, id: randomText(place.id) })];
}

async function observe(
  attempt: Attempt,
): Promise<{ status: number; headers: string[]; body: string; calls: Record<string, number> }> {
  const { env, calls } = createCountedEnv(testEnv);
  const { path, ...rest } = attempt;
  const response = await call(path, { ...rest, key: stranger.key, env });
  const body = await response.text();
  const headers = [...response.headers]
    .filter(([name]) => !["x-request-id", "content-length"].includes(name))
    .map(([name, value]) => `${name}: ${anonymous(value)}`);
  expect(response.status, body).toBeLessThan(500);
  return { status: response.status, headers, body: anonymous(body), calls };
}

/** Without ids, times and signatures: what is left must not tell one thing from another. */
function anonymous(text: string): string {
  return settled(text)
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "<uuid>")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replaceAll(/expires=\d+&signature=[\w-]+/g, "<link>")
    .replaceAll(/cursor=[\w-]+/g, "<cursor>")
    .replaceAll(/\b[0-9a-hjkmnp-tv-z]{26}\b/g, "<id>");
}

/**
 * Queries whose answers an isolate remembers, each for a time of its own: in a row of calls, one of two may be due
 * again.
 */
const REMEMBERED = /^DB SELECT .*\b(?:FROM|JOIN) (?:models|versions|api_keys|deployments|canaries)\b/s;

function unremembered(calls: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(calls).filter(([name]) => !REMEMBERED.test(name)));
}

/**
 * What an isolate remembers may fall due between the two calls: what differs for that reason alone doesn't differ the
 * next time.
 */
async function expectAlike(name: string): Promise<void> {
  const probe = probes[name]?.(0);
  if (probe === undefined) return;
  const [first, none] = [await observe(probe.real), await observe(probe.absent)];
  if (isDeepStrictEqual(first, none)) return;
  forget();
  expect(await observe(probe.real), name).toEqual(await observe(probe.absent));
}

test.each(Object.keys(probes))("to %s tells nothing, neither at first nor again", async (name) => {
  await expectAlike(name);
  await expectAlike(name);
});

test("nothing tells anything once what isolates remember is out of date", async () => {
  forget();
  for (const name of Object.keys(probes)) await expectAlike(name);
});

test(`no sequence of calls tells or changes anything of another account (seed ${PROPERTY_SEED})`, async () => {
  const step = fc.tuple(fc.constantFrom(...Object.keys(probes)), fc.nat({ max: 99 }));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      for (const [name, at] of steps) {
        const probe = probes[name]?.(at);
        if (probe === undefined) continue;
        const [real, absent] = [await observe(probe.real), await observe(probe.absent)];
        expect({ ...real, calls: unremembered(real.calls) }, name).toEqual({
          ...absent,
          calls: unremembered(absent.calls),
        });
      }
    }),
    { numRuns: RUNS, seed: PROPERTY_SEED },
  );
  expect(await views(victim)).toEqual(before);
  for (const list of ["/v1/predictions", "/v1/files", "/v1/uploads", "/v1/deployments", "/v1/models"]) {
    const seen = JSON.stringify((await callJson(list, { key: stranger.key })).body);
    const secrets = [...victim.predictions, ...victim.files, victim.upload, victim.version, victim.account];
    for (const secret of secrets) expect(seen).not.toContain(secret);
  }
});
