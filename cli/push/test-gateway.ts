/** A gateway that takes pushes and forgets them with the test, made from the contract. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import * as z from "zod";
import { BundleSchema, bundleVersion, CHUNK_BYTES, chunkSizes } from "../../src/contract/bundle.ts";

const HASH_BYTES = 32;
const HEAD_BYTES = HASH_BYTES + 4;
const MissingSchema = z.object({ chunks: z.array(z.string()).max(10_000) });
const PushSchema = z.object({ bundle: BundleSchema, manifest: z.looseObject({}), latest: z.boolean().default(true) });

type State = { status: string; problem: string | null; stage?: string; log?: string; plugins?: object[] };
type Reply = { status: number; body?: unknown };

export class TestGateway {
  readonly account = "local";
  readonly chunks = new Map<string, Buffer>();
  readonly versions = new Map<string, z.infer<typeof PushSchema>>();
  readonly aliases = new Map<string, unknown>();
  /** Bytes of all bodies that carried chunks, with their heads. */
  receivedBytes = 0;
  /** `METHOD /path` of each request, in order. */
  calls: string[] = [];
  /** What a version says of itself, one after the other; the last one stays. */
  states: State[] = [{ status: "live", problem: null }];
  /** Answers in place of the gateway; undefined: it answers itself. */
  intercept: (call: string, request: IncomingMessage) => Reply | undefined | Promise<Reply | undefined> = () =>
    undefined;
  url = "";
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  async open(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `http://127.0.0.1:${z.object({ port: z.number() }).parse(this.#server.address()).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = `${request.method} ${request.url}`;
    this.calls.push(call);
    const taken = await this.intercept(call, request);
    const { status, body } = taken ?? (await this.#reply(call, request, await bodyOf(request).catch(() => null)));
    if (status === 0) return void response.destroy();
    response.writeHead(status, { "content-type": "application/json" });
    response.end(body === undefined ? "" : JSON.stringify(body));
  }

  async #reply(call: string, request: IncomingMessage, body: Buffer | null): Promise<Reply> {
    if (request.headers.authorization !== "Bearer ep_x") return problem(401, "unauthenticated", "no such key");
    if (body === null) return { status: 0 };
    if (call === "GET /v1/account") return { status: 200, body: { username: this.account, type: "organization" } };
    if (call.startsWith("PUT") && call.includes("/aliases/")) {
      this.aliases.set(call.slice(call.lastIndexOf("/") + 1), JSON.parse(body.toString()));
      return { status: 200, body: {} };
    }
    if (call.endsWith("/chunks/missing")) {
      const { chunks } = MissingSchema.parse(JSON.parse(body.toString()));
      return { status: 200, body: { missing: chunks.filter((chunk) => !this.chunks.has(chunk)) } };
    }
    if (/^PUT .*\/chunks\/[0-9a-f]{64}$/.test(call)) return this.#take(call.slice(-64), body);
    if (call.endsWith("/chunks")) return this.#takeFrames(body);
    if (call.startsWith("POST") && call.endsWith("/versions")) return this.#register(body);
    const version = /^GET .*\/versions\/([0-9a-f]{64})$/.exec(call)?.[1];
    if (version !== undefined && this.versions.has(version)) {
      const edgeplane = this.states.length > 1 ? this.states.shift() : this.states[0];
      const view = { created_at: "2030-01-01T00:00:00Z", schema_known: true, lane: "default", max_batch_size: 1 };
      return { status: 200, body: { id: version, streams: "no", ...view, edgeplane } };
    }
    return problem(404, "not_found", "there is nothing here");
  }

  #take(sha256: string, bytes: Buffer): Reply {
    this.receivedBytes += bytes.length;
    if (bytes.length > CHUNK_BYTES) return problem(413, "payload_too_large", "a chunk is too large");
    if (createHash("sha256").update(bytes).digest("hex") !== sha256)
      return problem(422, "chunk_mismatch", "the bytes are not those of the name");
    this.chunks.set(sha256, bytes);
    return { status: 204 };
  }

  #takeFrames(body: Buffer): Reply {
    if (body.length > 8 * 1024 * 1024) return problem(413, "payload_too_large", "too many bytes");
    let frames = 0;
    for (let at = 0; at < body.length; frames += 1) {
      const start = at + HEAD_BYTES;
      const end = start + body.readUInt32BE(at + HASH_BYTES);
      const taken = this.#take(body.toString("hex", at, at + HASH_BYTES), body.subarray(start, end));
      if (taken.status !== 204) return taken;
      at = end;
    }
    return frames > 256 ? problem(413, "payload_too_large", "too many chunks") : { status: 204 };
  }

  async #register(body: Buffer): Promise<Reply> {
    const push = PushSchema.parse(JSON.parse(body.toString()));
    const missing = [...chunkSizes(push.bundle).keys()].filter((chunk) => !this.chunks.has(chunk));
    if (missing.length > 0) return problem(409, "bundle_incomplete", `missing: ${missing.slice(0, 100).join(", ")}`);
    const version = await bundleVersion(push.bundle);
    const isKnown = this.versions.has(version);
    this.versions.set(version, push);
    return { status: isKnown ? 200 : 201, body: { id: version, edgeplane: this.states[0] } };
  }
}

export function problem(status: number, code: string, detail: string): Reply {
  return { status, body: { status, code, detail } };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
