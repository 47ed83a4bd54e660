/** What clients, and receivers of webhooks, reach: ids, cursors, links, headers, URLs, bodies. */
import fc from "fast-check";
import { derivedPredictionId, isPredictionId, newPredictionId, shardName, shardOf } from "../../src/contract/ids.ts";
import { signLink, verifyLink } from "../../src/contract/signed-links.ts";
import { fromBase64Url, keyFor, toBase64Url } from "../../src/contract/signing.ts";
import { parseWith, readJson } from "../../src/routes/body.ts";
import { parseRange } from "../../src/routes/byte-range.ts";
import { fieldText, formBoundary, readForm } from "../../src/routes/form-stream.ts";
import { LinkQuerySchema, TimeSchema } from "../../src/routes/parameters.ts";
import { CreateBodySchema, CreateHeaderSchema } from "../../src/routes/replicate/create-body.ts";
import { decodeCursor, encodeCursor, forward } from "../../src/routes/replicate/cursor.ts";
import type { Cursor } from "../../src/routes/replicate/cursor.ts";
import { parseDurationMs } from "../../src/routes/replicate/duration.ts";
import { OWN_ID } from "../../src/routes/replicate/find-own.ts";
import { parseReference } from "../../src/routes/replicate/find-target.ts";
import { parsePrefer } from "../../src/routes/replicate/prefer.ts";
import { formatEvent } from "../../src/routes/replicate/sse.ts";
import { lastEventId } from "../../src/routes/replicate/stream.ts";
import { isBlobName } from "../../src/storage/blobs.ts";
import { childTraceparent, requestIdOf } from "../../src/telemetry/trace.ts";
import { batchByHost } from "../../src/webhooks/client.ts";
import { parseRetryAfter } from "../../src/webhooks/schedule.ts";
import { checkTarget } from "../../src/webhooks/target.ts";
import { decoder, demand } from "./decoder.ts";
import type { Decoder } from "./decoder.ts";
import { hostileJsonText, hostileText, nearly } from "./hostile.ts";

const SECRET = "fuzz-secret-fuzz-secret-fuzz-secret";
const SHARDS = 1024;
const NOW = 1_800_000_000_000;

const cursors: fc.Arbitrary<Cursor> = fc.record({
  direction: fc.constantFrom("next" as const, "previous" as const),
  createdAt: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  id: fc.stringMatching(/^[\x21-\x7e]{1,160}$/),
});
const ids = fc.nat({ max: 2 ** 45 - 1 }).map((at) => newPredictionId(SHARDS, at));
const bodies = [
  {
    version: "acme/hello:" + "a".repeat(64),
    input: { text: "x", n: 1, list: [1, [2, { a: null }]], file: "data:text/plain,x" },
    webhook: "https://example.com/hook",
    webhook_events_filter: ["start", "completed"],
    stream: true,
    priority: "high",
    start_timeout: "5m",
    timeout: 90,
    cancel_on_disconnect: false,
  },
  { model: "acme/hello", input: {} },
];

const form = [
  "--b",
  'Content-Disposition: form-data; name="content"; filename="a \\"b\\".txt"',
  "Content-Type: text/plain",
  "",
  "one\r\n--bb",
  "--b",
  "Content-Disposition: form-data; name=\"metadata\"; filename*=utf-8''%e2%82%ac",
  "",
  "{}",
  "--b--",
  "",
].join("\r\n");

async function* inPieces(text: string, pieceBytes: number): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

export const clientDecoders: readonly Decoder[] = [
  decoder("cursor", 8, nearly(cursors.map(encodeCursor)), (text) => {
    const cursor = decodeCursor(text);
    if (cursor !== null)
      demand(Number.isSafeInteger(cursor.createdAt) && cursor.id.length <= 160, "a place out of bounds");
    forward(cursor);
  }),
  decoder("cursor: there and back", 2, cursors, (cursor) => {
    const back = decodeCursor(encodeCursor(cursor));
    demand(
      back?.direction === cursor.direction && back.createdAt === cursor.createdAt && back.id === cursor.id,
      "another cursor",
    );
  }),
  decoder("prediction id", 8, nearly(ids), (text) => {
    if (isPredictionId(text, SHARDS)) demand(/^shard-\d{1,4}$/.test(shardName(shardOf(text))), "no shard");
    isBlobName(text);
    if (OWN_ID.test(text)) demand(new URL(`https://x/${text}`).search === "", "an id that is more than a segment");
  }),
  decoder(
    "prediction id: own ones and minted ones",
    1,
    fc.tuple(hostileText, hostileText, fc.integer({ min: 1, max: SHARDS })),
    async ([account, key, shards]) => {
      const derived = await derivedPredictionId(await keyFor(SECRET, "ids"), account, key, shards);
      demand(
        isPredictionId(derived, shards) && isPredictionId(newPredictionId(shards), shards),
        "an id of another form",
      );
    },
  ),
  decoder("base64url: there and back", 2, fc.uint8Array({ maxLength: 64 }), (bytes) => {
    const back = fromBase64Url(toBase64Url(bytes));
    demand(back !== null && back.join() === bytes.join(), "other bytes");
  }),
  decoder(
    "signed link",
    6,
    fc.tuple(nearly(fc.constant("prediction x")), nearly(fc.constant("1800000000")), hostileText),
    async ([resource, expires, signature]) => {
      demand(!(await verifyLink(SECRET, "stream", resource, { expires, signature }, NOW)), "a forged link opens");
    },
  ),
  decoder(
    "signed link: changed ones",
    1,
    fc.tuple(ids, fc.nat({ max: 10 ** 9 }), fc.nat(), fc.constantFrom("A", "Z", "a", "9", "-", "_", "=", ".")),
    async ([id, afterMs, at, character]) => {
      const query = new URLSearchParams(await signLink(SECRET, "file", id, NOW + afterMs));
      const [expires, signature] = [query.get("expires") ?? "", query.get("signature") ?? ""];
      const opens = async (over: {
        id?: string;
        purpose?: "file" | "blob";
        expires?: string;
        signature?: string;
        now?: number;
      }) =>
        verifyLink(
          SECRET,
          over.purpose ?? "file",
          over.id ?? id,
          { expires: over.expires ?? expires, signature: over.signature ?? signature },
          over.now ?? NOW,
        );
      demand(await opens({}), "a link that doesn't open");
      demand(
        !(await opens({ purpose: "blob" })) && !(await opens({ id: `${id}x` })),
        "a link that opens something else",
      );
      demand(
        !(await opens({ expires: String(Number(expires) + 1) })) && !(await opens({ now: Number(expires) * 1000 + 1 })),
        "a link that lasts longer",
      );
      const place = at % (signature.length - 1);
      const changed = signature.slice(0, place) + character + signature.slice(place + 1);
      demand(changed === signature || !(await opens({ signature: changed })), "a changed signature");
    },
  ),
  decoder("Last-Event-ID", 5, nearly(fc.nat({ max: 10 ** 15 }).map(String)), (text) => {
    demand(Number.isSafeInteger(lastEventId(text)), "no number");
  }),
  decoder(
    "Prefer",
    6,
    nearly(fc.constantFrom("wait", "wait=5", 'wait="7"; foo=1', "respond-async, wait=5")),
    (text) => {
      const { waitMs } = parsePrefer(text);
      demand(waitMs >= 0 && waitMs <= 60_000, "a wait out of bounds");
    },
  ),
  decoder("duration", 6, nearly(fc.constantFrom("30s", "5m", "1h30m45s", "0.5", "1.5h")), (text) => {
    const ms = parseDurationMs(text);
    demand(ms === null || ms >= 0, "no duration");
    const { "Cancel-After": after } = parseWith(CreateHeaderSchema, { "Cancel-After": text });
    demand(after !== undefined && after >= 1000 && after <= 7 * 86_400_000, "a duration out of bounds");
  }),
  decoder("traceparent", 5, nearly(fc.constant(`00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`)), (text) => {
    demand(TRACEPARENT.test(childTraceparent(text)), "no traceparent");
  }),
  decoder("X-Request-Id", 2, nearly(fc.uuid()), (text) => demand(/^[\w.-]{8,128}$/.test(requestIdOf(text)), "no id")),
  decoder(
    "reference of a model",
    5,
    nearly(fc.constantFrom("acme/hello", `acme/hello:${"0a".repeat(32)}`, "0a".repeat(32))),
    parseReference,
  ),
  decoder(
    "webhook URL",
    12,
    nearly(fc.oneof(fc.webUrl(), fc.constantFrom("https://example.com:8443/hook", "https://[2606:4700::1]/"))),
    (text) => {
      const target = checkTarget(text, { allowLoopback: false });
      if (target.ok)
        demand(
          target.url.protocol === "https:" && checkTarget(target.url.href, { allowLoopback: false }).ok,
          "a target that changes",
        );
      const message = {
        webhookId: "x",
        predictionId: "x",
        accountId: "x",
        url: text,
        event: "start" as const,
        body: "",
        createdAt: 0,
      };
      demand(batchByHost({ ALLOW_LOOPBACK_TARGETS: "1" }, [message]).length === 1, "no sender");
    },
  ),
  decoder("Retry-After", 3, nearly(fc.constantFrom("5", "Wed, 21 Oct 2026 07:28:00 GMT")), (text) => {
    const ms = parseRetryAfter(text, NOW);
    demand(ms === null || ms >= 0, "no duration");
  }),
  decoder("an event of a stream", 3, fc.tuple(hostileText, fc.nat()), ([data, id]) => {
    const [fields, ...rest] = formatEvent({ event: "output", data, id }).split("\n\n");
    demand(
      rest.join("") === "" && /^event: output\nid: \d+\n(data: [^\r\n]*\n?)+$/u.test(fields ?? ""),
      "more than one event",
    );
  }),
  decoder("body of a create", 10, hostileJsonText(bodies), async (text) => {
    const request = new Request("https://edge.test/v1/predictions", { method: "POST", body: text });
    parseWith(CreateBodySchema, await readJson(request));
  }),
  decoder(
    "times and links of a query",
    2,
    fc.tuple(nearly(fc.constant("2026-01-31T12:00:00Z")), hostileText),
    ([time, text]) => {
      parseWith(LinkQuerySchema, { expires: text, signature: time });
      demand(Number.isFinite(parseWith(TimeSchema, time)), "no time");
    },
  ),
  decoder(
    "Range",
    4,
    fc.tuple(nearly(fc.constantFrom("bytes=0-5", "bytes=5-", "bytes=-5")), fc.nat({ max: 20 })),
    ([text, size]) => {
      const range = parseRange(text, size);
      if (range === null || range === "unsatisfiable") return;
      const { offset, length } = range;
      demand(offset >= 0 && length > 0 && offset + length <= size, "bytes that aren't there");
    },
  ),
  decoder("boundary of a form", 2, nearly(fc.constant("multipart/form-data; boundary=abc")), formBoundary),
  decoder(
    "form",
    6,
    fc.tuple(nearly(fc.constant(form)), fc.integer({ min: 1, max: 40 })),
    async ([text, pieceBytes]) => {
      let bytes = 0;
      await readForm(inPieces(text, pieceBytes), "b", async (field, content) => {
        demand(typeof field.name === "string", "no name");
        bytes += (await fieldText(content, 1000))?.length ?? 0;
      });
      demand(bytes <= text.length, "more than was sent");
    },
  ),
  decoder("bytes that should be JSON", 2, fc.uint8Array({ maxLength: 80 }), async (bytes) => {
    await readJson(new Request("https://edge.test/v1/predictions", { method: "POST", body: bytes }));
  }),
];
