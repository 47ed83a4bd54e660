/** What the edge keeps of environments that pools have built. */
import { Readable } from "node:stream";
import { BundleSchema, bundleVersion } from "../../src/contract/bundle.ts";
import type { Bundle } from "../../src/contract/bundle.ts";
import { FoundLayerSchema, LayerSchema, LayerVerdictSchema } from "../../src/contract/environment-layer.ts";
import type { FoundLayer, Layer, NewLayer } from "../../src/contract/environment-layer.ts";
import { MAX_ASKED_CHUNKS, MissingChunksSchema } from "../../src/contract/push.ts";
import { FetchProblem, messageOf, SourceAway } from "../bundles/problems.ts";
import type { ChunkRequest } from "../bundles/fetch-chunk.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import type { HttpClient } from "../transport/http-client.ts";

const ASK_MS = 15_000;
const LIST_MS = 60_000;
/** A chunk that isn't here by then goes on where it was; one that isn't sent is sent again. */
const CHUNK_MS = 600_000;
const JSON_TYPE = { "content-type": "application/json" };

export type LayerName = { owner: string; key: string };

export class EdgeLayers {
  readonly #http: HttpClient;

  constructor(http: HttpClient) {
    this.#http = http;
  }

  /** Null where the edge is away, doesn't know of such things, or this token hasn't the owner. */
  async find({ owner, key }: LayerName): Promise<FoundLayer | null> {
    const call = { method: "GET", path: `/pool/v1/environments/${owner}/${key}`, timeoutMs: ASK_MS } as const;
    const answer = await this.#http.json(call).catch((error: unknown) => {
      if (error instanceof TransportError || error instanceof StatusError) return null;
      throw error;
    });
    const found = FoundLayerSchema.safeParse(answer);
    return found.success ? found.data : null;
  }

  /** The list of its files. Throws `FetchProblem` where it is another than the edge has named, and `SourceAway`. */
  async list(owner: string, { list }: Layer): Promise<Bundle> {
    const path = `/pool/v1/environments/${owner}/chunks/${list}`;
    const answer = await this.#http.json({ method: "GET", path, timeoutMs: LIST_MS }).catch(awayOr(list));
    const bundle = BundleSchema.safeParse(answer);
    if (bundle.success && (await bundleVersion(bundle.data)) === list) return bundle.data;
    throw new FetchProblem("the list of its files is another than was stored", { chunk: list });
  }

  /** Begins to fetch a chunk. */
  async chunk(owner: string, sha256: string, offset: number, signal: AbortSignal): ReturnType<ChunkRequest["open"]> {
    const path = `/pool/v1/environments/${owner}/chunks/${sha256}`;
    const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const call = { method: "GET", path, headers, timeoutMs: CHUNK_MS, signal } as const;
    const body = await this.#http.stream(call).catch(awayOr(sha256));
    const from = /^bytes (\d+)-/.exec(body.headers["content-range"] ?? "")?.[1];
    return { body, offset: body.statusCode === 206 && from !== undefined ? Number(from) : 0 };
  }

  /** Those of the chunks that have to be sent. Throws like `HttpClient.json`. */
  async missing(owner: string, chunks: readonly string[]): Promise<string[]> {
    const missing: string[] = [];
    for (let at = 0; at < chunks.length; at += MAX_ASKED_CHUNKS) {
      const body = JSON.stringify({ chunks: chunks.slice(at, at + MAX_ASKED_CHUNKS) });
      const path = `/pool/v1/environments/${owner}/chunks/missing`;
      const call = { method: "POST", path, headers: JSON_TYPE, body, timeoutMs: ASK_MS } as const;
      missing.push(...MissingChunksSchema.parse(await this.#http.json(call)).missing);
    }
    return missing;
  }

  /** Sends a chunk, piece by piece. Throws `TransportError` or `StatusError`. */
  async send(
    owner: string,
    sha256: string,
    bytes: number,
    pieces: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<void> {
    const path = `/pool/v1/environments/${owner}/chunks/${sha256}`;
    const headers = { "content-type": "application/octet-stream", "content-length": String(bytes) };
    const body = Readable.from(pieces);
    const reply = await this.#http.request({ method: "PUT", path, headers, body, timeoutMs: CHUNK_MS, signal });
    if (reply.status !== 204) throw new StatusError(reply.status, path, reply.text);
  }

  /** Names what was sent. Answers what is kept: the first of the key. Throws like `HttpClient.json`. */
  async store({ owner, key }: LayerName, layer: NewLayer): Promise<Layer> {
    const call = { method: "PUT", path: `/pool/v1/environments/${owner}/${key}`, headers: JSON_TYPE } as const;
    return LayerSchema.parse(await this.#http.json({ ...call, body: JSON.stringify(layer), timeoutMs: LIST_MS }));
  }

  /** Tells of a chunk that is broken. Whether the edge saw that too, and took the layer away; never throws. */
  async tell({ owner, key }: LayerName, chunk: string): Promise<boolean> {
    const path = `/pool/v1/environments/${owner}/${key}/problem`;
    const call = { method: "POST", path, headers: JSON_TYPE, body: JSON.stringify({ chunk }) } as const;
    const answer = await this.#http.json({ ...call, timeoutMs: LIST_MS }).catch(() => null);
    const verdict = LayerVerdictSchema.safeParse(answer);
    return verdict.success && verdict.data.removed;
  }
}

function awayOr(chunk: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof TransportError || (error instanceof StatusError && error.mayHeal))
      throw new SourceAway(error.message, { cause: error });
    if (error instanceof StatusError)
      throw new FetchProblem(`can't be had: ${messageOf(error)}`, { cause: error, chunk });
    throw error;
  };
}
