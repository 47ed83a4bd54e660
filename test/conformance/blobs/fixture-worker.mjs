/** Runs the same calls on R2 (Miniflare's simulator) and on the local bucket, and answers what each said. */
import { createLocalBucket, sweepContent } from "../../../src/storage/local/local-bucket.ts";

export { LocalBucketIndex } from "../../../src/storage/local/bucket-index.ts";

const PART = 5 * 1024 * 1024;
const bytes = (length, seed) => new Uint8Array(length).fill(0).map((_, index) => (index * 31 + seed) % 251);

/** What of an object has to be the same everywhere. */
function shown(object) {
  if (object === null) return null;
  const { key, size, httpMetadata, customMetadata, httpEtag, etag } = object;
  return { key, size, type: httpMetadata?.contentType, customMetadata, quoted: httpEtag === `"${etag}"` };
}

async function refusal(call) {
  try {
    await call();
    return "accepted";
  } catch (error) {
    return /\((\d+)\)/.exec(error.message)?.[1] ?? error.message;
  }
}

async function transcript(bucket) {
  const log = [];
  const say = (step, value) => log.push([step, value]);
  const options = { httpMetadata: { contentType: "text/plain" }, customMetadata: { a: "b" } };
  say("put", shown(await bucket.put("a/1", "hello", options)));
  say("absent put", shown(await bucket.put("a/1", "other", { onlyIf: { etagDoesNotMatch: "*" } })));
  say("first put", shown(await bucket.put("a/2", bytes(10, 1), { onlyIf: { etagDoesNotMatch: "*" } })));
  say("head", shown(await bucket.head("a/1")));
  say("nothing", [await bucket.head("b"), await bucket.get("b")]);
  say("get", await (await bucket.get("a/1")).text());
  say("range", await (await bucket.get("a/1", { range: { offset: 1, length: 3 } })).text());
  say("rest", await (await bucket.get("a/1", { range: { offset: 3 } })).text());
  await bucket.put("a/1", JSON.stringify({ over: "written" }));
  say("json", await (await bucket.get("a/1")).json());
  await bucket.put("a/empty", new Uint8Array());
  say("empty", [(await bucket.head("a/empty")).size, await (await bucket.get("a/empty")).text()]);
  const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
  say("checked put", shown(await bucket.put("checked", "hello", { sha256: hello })));
  say("wrong put", await refusal(() => bucket.put("checked", "hullo", { sha256: hello })));
  say("wrong anew", await refusal(() => bucket.put("wrong", bytes(3_000_000, 4), { sha256: hello })));
  say("still checked", [await (await bucket.get("checked")).text(), await bucket.head("wrong")]);
  await bucket.delete("checked");
  const first = await bucket.list({ prefix: "a/", limit: 2 });
  say("list", [first.objects.map(({ key }) => key), first.truncated]);
  const rest = await bucket.list({ prefix: "a/", limit: 2, cursor: first.cursor });
  say("more", [rest.objects.map(({ key }) => key), rest.truncated]);
  const behind = await bucket.list({ prefix: "a/", limit: 1, startAfter: "a/1" });
  say("behind a key", [behind.objects.map(({ key }) => key), behind.truncated]);
  await bucket.delete(["a/1", "a/empty", "a/never"]);
  say(
    "left",
    (await bucket.list({ prefix: "a/" })).objects.map(({ key }) => key),
  );

  const upload = await bucket.createMultipartUpload("big", options);
  const resumed = bucket.resumeMultipartUpload("big", upload.uploadId);
  await resumed.uploadPart(1, bytes(PART, 9));
  const parts = [await resumed.uploadPart(2, bytes(7, 2)), await resumed.uploadPart(1, bytes(PART, 1))];
  say("unfinished", await bucket.head("big"));
  say("wrong part", await refusal(() => resumed.complete([{ partNumber: 1, etag: "none" }])));
  say("complete", shown(await resumed.complete(parts.toReversed())));
  const over = await (await bucket.get("big", { range: { offset: PART - 2, length: 5 } })).arrayBuffer();
  say("over the seam", [...new Uint8Array(over)]);
  const digest = await crypto.subtle.digest("SHA-256", await (await bucket.get("big")).arrayBuffer());
  say("whole", [...new Uint8Array(digest)]);

  const dropped = await bucket.createMultipartUpload("dropped");
  await dropped.uploadPart(1, bytes(7, 1));
  await dropped.abort();
  say("aborted", await bucket.head("dropped"));
  say("part after abort", (await refusal(() => dropped.uploadPart(1, bytes(7, 1)))) === "accepted");
  return log;
}

/**
 * Whether a file that nothing names is there: while it is young, and later; and whether a part that waits for the
 * others lives on.
 */
async function sweeps(env) {
  const bucket = createLocalBucket(env);
  const upload = await bucket.createMultipartUpload("under-way");
  const part = await upload.uploadPart(1, bytes(7, 1));
  await env.BLOB_CONTENT.fetch("http://disk/nobodys", { method: "PUT", body: "written, and never noted" });
  const isThere = async () => (await env.BLOB_CONTENT.fetch("http://disk/nobodys")).status === 200;
  await sweepContent(env);
  const young = await isThere();
  await sweepContent(env, -2000);
  const old = await isThere();
  await upload.complete([part]);
  const { byteLength } = await (await bucket.get("under-way")).arrayBuffer();
  await bucket.delete("under-way");
  return { young, old, partBytes: byteLength };
}

export default {
  async fetch(_request, env) {
    const [r2, local] = [await transcript(env.R2), await transcript(createLocalBucket(env))];
    return Response.json({ r2, local, swept: await sweeps(env) });
  },
};
