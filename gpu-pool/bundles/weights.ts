/**
 * Weights that a model names by reference: found where they lie, fetched from public addresses only, and verified. A
 * file of Hugging Face is known by what its server says of the commit that is named: the SHA-256 of a file in LFS, or
 * git's own hash of a small one.
 * Source: https://huggingface.co/docs/hub/api, and huggingface_hub's file_download.py (`X-Linked-Etag`,
 * `X-Linked-Size`).
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { systemNetwork } from "../runtime/download.ts";
import type { Network } from "../runtime/download.ts";
import type { Weight, WeightSource } from "../runtime/environments/weight-keys.ts";
import { mayFetchFrom } from "../runtime/public-address.ts";
import { NotPublic, publicGet } from "../runtime/public-get.ts";
import type { Content } from "./contents.ts";
import type { ChunkRequest } from "./fetch-chunk.ts";
import { FetchProblem, messageOf, SourceAway } from "./problems.ts";

const HUGGING_FACE = "https://huggingface.co";
const MAX_REDIRECTS = 5;
/** A server that says nothing for so long is away. */
const ANSWER_MS = 30_000;
const MAX_GIT_BYTES = 64 * 1024 * 1024;
const SHA256 = /^"?([0-9a-f]{64})"?$/;
const GIT_HASH = /^(?:W\/)?"?([0-9a-f]{40})"?$/;

export type WeightRules = {
  allowLoopback: boolean;
  /** In place of Hugging Face's own address: tests, and mirrors. */
  huggingFace?: string;
  /** What opens gated repositories; null where the model has no such secret. */
  token: string | null;
  network?: Network;
  /** In place of `ANSWER_MS`. */
  answerMs?: number;
  signal: AbortSignal;
};

/** A file in LFS or of any server, which the cache keeps; or a small one, whole. */
export type FoundWeight = { path: string } & (
  | { content: Content; open(offset: number, signal: AbortSignal): ReturnType<ChunkRequest["open"]> }
  | { bytes: Buffer }
);

/** Asks where it is and what it must be. Throws `FetchProblem` or `SourceAway`. */
export async function findWeight({ path, from }: Weight, rules: WeightRules): Promise<FoundWeight> {
  const place = placeOf(from, rules);
  const { reply, first } = await follow(place, rules, 0, rules.signal);
  const sizeText = first.headers["x-linked-size"] ?? reply.headers["content-length"];
  const bytes = Number(sizeText ?? Number.NaN);
  const etag = String(first.headers["x-linked-etag"] ?? first.headers.etag ?? "");
  const sha256 = from.kind === "https" ? from.sha256 : SHA256.exec(etag)?.[1];
  if (sha256 === undefined) {
    const [, hash] = GIT_HASH.exec(etag) ?? [];
    if (hash !== undefined) return { path, bytes: await readGitFile(reply, hash, place) };
    reply.destroy();
    throw new FetchProblem(`${place.name} has no hash that it could be verified by`);
  }
  reply.destroy();
  if (!Number.isSafeInteger(bytes) || bytes < 1) throw new FetchProblem(`${place.name} doesn't say how large it is`);
  return {
    path,
    content: { id: sha256, bytes, chunks: [sha256] },
    async open(offset, signal) {
      const { reply: body } = await follow(place, rules, offset, signal);
      const begins = /^bytes (\d+)-/.exec(body.headers["content-range"] ?? "")?.[1];
      return { body, offset: body.statusCode === 206 && begins !== undefined ? Number(begins) : 0 };
    },
  };
}

/** `name`: as its author wrote it. `token` goes to that address alone, and to nowhere that it redirects to. */
type Place = { url: URL; name: string; token: string | null };

function placeOf(from: WeightSource, { huggingFace = HUGGING_FACE, token }: WeightRules): Place {
  if (from.kind === "https") return { url: new URL(from.url), name: from.url, token: null };
  const { repository, file, commit } = from;
  const path = file.split("/").map(encodeURIComponent).join("/");
  const name = `hf://${repository}/${file}@${commit}`;
  return { url: new URL(`/${repository}/resolve/${commit}/${path}`, huggingFace), name, token };
}

/** The answer behind all redirects, and the first one, which knows what it redirects to. */
async function follow(
  { url, name, token }: Place,
  { allowLoopback, network = systemNetwork, answerMs = ANSWER_MS }: WeightRules,
  offset: number,
  signal: AbortSignal,
): Promise<{ reply: IncomingMessage; first: IncomingMessage }> {
  let [address, first]: [URL, IncomingMessage | null] = [url, null];
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const headers: Record<string, string> = { "accept-encoding": "identity" };
    if (offset > 0) headers["range"] = `bytes=${offset}-`;
    if (token !== null && address.origin === url.origin) headers["authorization"] = `Bearer ${token}`;
    const allowed = (ip: string): boolean => mayFetchFrom(ip, allowLoopback);
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(new Error(`nothing came for ${answerMs} ms`)), answerMs);
    const ended = AbortSignal.any([signal, silence.signal]);
    const reply = await publicGet(address, { allowed, network, headers, signal: ended })
      .catch((error: unknown) => {
        if (error instanceof NotPublic) throw new FetchProblem(`${name}: ${error.message}`);
        throw new SourceAway(`${name} can't be reached: ${messageOf(error)}`, { cause: error });
      })
      .finally(() => clearTimeout(timer));
    const status = reply.statusCode ?? 0;
    const next = status >= 300 && status < 400 ? URL.parse(reply.headers.location ?? "", address.href) : null;
    const isSafe = next !== null && (next.protocol === "https:" || next.protocol === url.protocol);
    // A repository that was renamed redirects at home first: what is said there is of the new place.
    if (next === null || next.origin !== url.origin) first ??= reply;
    if (status === 200 || status === 206) return { reply, first: first ?? reply };
    reply.destroy();
    if (next === null || !isSafe) throw problemOf(name, status, token);
    address = next;
  }
  throw new FetchProblem(`${name} redirects more than ${MAX_REDIRECTS} times`);
}

function problemOf(name: string, status: number, token: string | null): Error {
  if (status >= 500 || status === 429 || status === 408) return new SourceAway(`${name} answered ${status}`);
  const isGated = status === 401 || status === 403;
  const what = token === null ? "the model needs the secret HF_TOKEN" : "its secret HF_TOKEN may not read it";
  const hint = isGated && name.startsWith("hf://") ? `: it is gated or private, and ${what}` : "";
  return new FetchProblem(`${name} answered ${status}${hint}`);
}

/** A small file that git keeps itself: its hash is the SHA-1 of `blob <size>\0` and the content. */
async function readGitFile(reply: IncomingMessage, hash: string, { name }: Place): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  reply.setTimeout(ANSWER_MS, () => reply.destroy(new Error("nothing came")));
  try {
    for await (const part of reply) {
      if (!Buffer.isBuffer(part)) continue;
      size += part.length;
      if (size > MAX_GIT_BYTES)
        throw new FetchProblem(`${name} has more than ${MAX_GIT_BYTES} bytes, and isn't in LFS`);
      parts.push(part);
    }
  } catch (error) {
    if (error instanceof FetchProblem) throw error;
    throw new SourceAway(`${name} broke off`, { cause: error });
  }
  const bytes = Buffer.concat(parts);
  const found = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
  if (found !== hash) throw new FetchProblem(`${name} has git's hash ${found}, and should have ${hash}`);
  return bytes;
}
