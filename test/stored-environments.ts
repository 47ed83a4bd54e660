/** What an edge keeps of environments, served as it serves it to pools, with faults as a test wants them. */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { bundleBytes, bundleVersion, canonicalJson } from "../src/contract/bundle.ts";
import { LayerProblemSchema, NewLayerSchema } from "../src/contract/environment-layer.ts";
import type { Layer } from "../src/contract/environment-layer.ts";
import { MissingChunksRequestSchema } from "../src/contract/push.ts";
import { sha256 } from "./pushed-files.ts";

export class StoredEnvironments {
  readonly chunks = new Map<string, Buffer>();
  /** By `owner/key`. */
  readonly layers = new Map<string, Layer>();
  readonly problems: string[] = [];
  /** `METHOD path`, of each request. */
  readonly asked: string[] = [];
  mayStore = true;
  /**
   * So many of the next chunks that are sent are answered with 503; `refusal`: what they are answered with for ever.
   */
  busy = 0;
  refusal: number | null = null;
  /** Chunks of more than 1 MiB never come. */
  isStalled = false;
  /** Hears of each chunk that came. */
  onStored: () => void = () => {};

  /** Whether the request was for this; then it is answered. */
  async handle(request: IncomingMessage, body: Buffer, reply: ServerResponse): Promise<boolean> {
    const { pathname } = new URL(request.url ?? "/", "http://edge");
    const [, owner = "", rest = ""] = /^\/pool\/v1\/environments\/([^/]+)\/(.+)$/.exec(pathname) ?? [];
    if (owner === "") return false;
    this.asked.push(`${request.method} ${pathname}`);
    const [kind, sha = ""] = rest.split("/");
    if (rest === "chunks/missing") {
      const { chunks } = MissingChunksRequestSchema.parse(JSON.parse(body.toString()));
      json(reply, 200, { missing: chunks.filter((chunk) => !this.chunks.has(chunk)) });
    } else if (kind === "chunks" && request.method === "PUT") this.#take(sha, body, reply);
    else if (kind === "chunks") await this.#give(sha, request, reply);
    else if (sha === "problem") {
      const { chunk } = LayerProblemSchema.parse(JSON.parse(body.toString()));
      this.problems.push(chunk);
      const isBroken = sha256(this.chunks.get(chunk) ?? Buffer.alloc(0)) !== chunk;
      if (isBroken && this.chunks.delete(chunk)) this.layers.delete(`${owner}/${kind ?? ""}`);
      json(reply, 200, { removed: isBroken });
    } else if (request.method === "PUT") await this.#store(`${owner}/${rest}`, body, reply);
    else json(reply, 200, { layer: this.layers.get(`${owner}/${rest}`) ?? null, mayStore: this.mayStore });
    return true;
  }

  async #store(name: string, body: Buffer, reply: ServerResponse): Promise<void> {
    const { bundle, about } = NewLayerSchema.parse(JSON.parse(body.toString()));
    const list = await bundleVersion(bundle);
    const there = this.layers.get(name);
    if (there === undefined) {
      this.chunks.set(list, Buffer.from(canonicalJson(bundle)));
      this.layers.set(name, { list, bytes: bundleBytes(bundle), files: bundle.files.length, about });
    }
    json(reply, there === undefined ? 201 : 200, this.layers.get(name));
    this.onStored();
  }

  #take(sha: string, body: Buffer, reply: ServerResponse): void {
    if (this.refusal !== null) return json(reply, this.refusal, { error: "told to" });
    if (this.busy > 0) {
      this.busy -= 1;
      return json(reply, 503, { error: "told to" });
    }
    if (sha256(body) !== sha) return json(reply, 422, { error: "another content" });
    this.chunks.set(sha, body);
    reply.writeHead(204).end();
    this.onStored();
  }

  async #give(sha: string, request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const whole = this.chunks.get(sha);
    if (whole === undefined) return json(reply, 404, { error: "not found" });
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const range = { "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` };
    reply.writeHead(from === 0 ? 200 : 206, { "content-length": whole.length - from, ...(from === 0 ? {} : range) });
    if (!this.isStalled || whole.length < 2 ** 20) reply.end(whole.subarray(from));
    else reply.flushHeaders();
  }
}

/** An edge that has nothing else. */
export async function startStoredEnvironments(): Promise<{ stored: StoredEnvironments; url: URL; close(): void }> {
  const stored = new StoredEnvironments();
  const server = createServer((request, reply) => {
    void buffer(request).then(async (body) => {
      if (!(await stored.handle(request, body, reply))) json(reply, 404, { error: "not found" });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    stored,
    url: new URL(`http://127.0.0.1:${port}`),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function json(reply: ServerResponse, status: number, body: unknown): void {
  reply.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
