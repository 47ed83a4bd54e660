/** What the edge keeps of pushed models: which there are, their lists of files, and the chunks. */
import { BundleSchema, bundleVersion } from "../../src/contract/bundle.ts";
import type { Bundle } from "../../src/contract/bundle.ts";
import { modelPath } from "../../src/contract/manifest.ts";
import type { ModelRef } from "../../src/contract/prediction.ts";
import { DesiredModelsSchema, VersionProblemReplySchema } from "../../src/contract/push.ts";
import type { DesiredModels, VersionProblem } from "../../src/contract/push.ts";
import type { IsolationKind } from "../runtime/isolation/types.ts";
import { parseJson } from "../transport/json.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import type { HttpClient } from "../transport/http-client.ts";
import type { ChunkRequest } from "./fetch-chunk.ts";
import { FetchProblem, messageOf, SourceAway } from "./problems.ts";

const ASK_MS = 15_000;
const UNHEARD_MS = 30_000;
const BUNDLE_MS = 60_000;
/** A chunk that isn't here by then goes on where it was. */
const CHUNK_MS = 600_000;

export class EdgeFiles {
  readonly #http: HttpClient;
  readonly #isolation: IsolationKind;
  #etag: string | undefined;

  /** `isolation`: what isolates models on this host. */
  constructor(http: HttpClient, isolation: IsolationKind) {
    this.#http = http;
    this.#isolation = isolation;
  }

  /** What this pool should serve; null: as it was said last, or the edge knows no such call. Throws `SourceAway`. */
  async desired(): Promise<DesiredModels["models"] | null> {
    const path = `/pool/v1/models?isolation=${this.#isolation}`;
    const headers: Record<string, string> = this.#etag === undefined ? {} : { "if-none-match": this.#etag };
    const reply = await this.#http.request({ method: "GET", path, headers, timeoutMs: ASK_MS }).catch(away);
    if (reply.status === 304 || [401, 403, 404].includes(reply.status)) return null;
    if (reply.status !== 200) throw new SourceAway(`${path} answered ${reply.status}`);
    const { models } = DesiredModelsSchema.parse(parseJson(reply.text));
    this.#etag = reply.headers.etag;
    return models;
  }

  /** Throws `FetchProblem` where it is not the version's, and `SourceAway`. */
  async bundle(ref: ModelRef): Promise<Bundle> {
    const path = `/pool/v1/models/${modelPath(ref)}/versions/${ref.version}/bundle`;
    const answer = await this.#http.json({ method: "GET", path, timeoutMs: BUNDLE_MS }).catch(awayOrMissing);
    const bundle = BundleSchema.safeParse(answer);
    if (!bundle.success) throw new FetchProblem(`its list of files is wrong: ${bundle.error.issues[0]?.message}`);
    const version = await bundleVersion(bundle.data);
    if (version !== ref.version) throw new FetchProblem(`its list of files is that of the version ${version}`);
    return bundle.data;
  }

  /** Begins to fetch a chunk of this model. */
  async chunk(ref: ModelRef, sha256: string, offset: number, signal: AbortSignal): ReturnType<ChunkRequest["open"]> {
    const path = `/pool/v1/models/${modelPath(ref)}/chunks/${sha256}`;
    const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const call = { method: "GET", path, headers, timeoutMs: CHUNK_MS, signal } as const;
    const body = await this.#http.stream(call).catch(awayOrMissing);
    const from = /^bytes (\d+)-/.exec(body.headers["content-range"] ?? "")?.[1];
    return { body, offset: body.statusCode === 206 && from !== undefined ? Number(from) : 0 };
  }

  /**
   * Tells what went wrong. Answers when it should be tried again; null: not by itself. What the edge has not heard is
   * tried and told again, as the version waits until it hears. Never throws.
   */
  async tell(ref: ModelRef, problem: VersionProblem): Promise<number | null> {
    const path = `/pool/v1/models/${modelPath(ref)}/versions/${ref.version}/problem`;
    const headers = { "content-type": "application/json" };
    const call = { method: "POST", path, headers, body: JSON.stringify(problem), timeoutMs: ASK_MS } as const;
    const reply = await this.#http.request(call).catch(() => null);
    if (reply === null || reply.status >= 500) return UNHEARD_MS;
    // An older edge says nothing.
    if (reply.status !== 200) return null;
    return VersionProblemReplySchema.safeParse(parseJson(reply.text)).data?.againInMs ?? null;
  }
}

function away(error: unknown): never {
  throw error instanceof TransportError ? new SourceAway(error.message, { cause: error }) : error;
}

function awayOrMissing(error: unknown): never {
  if (error instanceof TransportError || (error instanceof StatusError && error.mayHeal))
    throw new SourceAway(error.message, { cause: error });
  if (error instanceof StatusError) throw new FetchProblem(`can't be had: ${messageOf(error)}`, { cause: error });
  throw error;
}
