/** What an edge keeps of pushed models, served as it serves it to pools, with faults as a test wants them. */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { bundleBytes, bundleVersion, CHUNK_BYTES } from "../src/contract/bundle.ts";
import type { Bundle } from "../src/contract/bundle.ts";
import { ManifestSchema, modelPath } from "../src/contract/manifest.ts";
import type { Manifest } from "../src/contract/manifest.ts";
import { VersionProblemSchema } from "../src/contract/push.ts";
import type { DesiredModels, VersionProblem } from "../src/contract/push.ts";

/** `wrong`: other bytes. `short`: fewer, and that is all. `cut`: the connection breaks. `gone`, `away`: 404, 503. */
export type Fault = "wrong" | "short" | "long" | "cut" | "gone" | "away";

export const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** The bundle of these files, and its chunks. */
export function pack(files: Record<string, string | Buffer>): { bundle: Bundle; chunks: Map<string, Buffer> } {
  const chunks = new Map<string, Buffer>();
  const listed = Object.entries(files)
    .map(([path, content]) => {
      const bytes = Buffer.from(content);
      const parts: string[] = [];
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
        const part = bytes.subarray(at, at + CHUNK_BYTES);
        chunks.set(sha256(part), part);
        parts.push(sha256(part));
      }
      return { path, mode: 0o644 as const, bytes: bytes.length, chunks: parts };
    })
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
  return { bundle: { format: 1, files: listed }, chunks };
}

export class PushedFiles {
  readonly chunks = new Map<string, Buffer>();
  readonly bundles = new Map<string, Bundle>();
  models: DesiredModels["models"] = [];
  readonly problems: (VersionProblem & { version: string })[] = [];
  /** When a pool that reports a problem is told to try again; undefined: it is told nothing, as by an older edge. */
  againInMs: number | null | undefined;
  /** What becomes of the next requests of a chunk. */
  readonly faults = new Map<string, Fault[]>();
  /** `sha256 offset`, of each request of a chunk. */
  readonly asked: string[] = [];
  lists = 0;
  /** Answers of chunks wait for it. */
  gate: Promise<void> = Promise.resolve();
  /** Answers of these chunks wait for theirs. */
  readonly gates = new Map<string, Promise<void>>();
  /** 200, or what the list is answered with. */
  listStatus = 200;

  async push(
    files: Record<string, string | Buffer>,
    more: Partial<Manifest> & { isLive?: boolean; isPending?: boolean } = {},
  ): Promise<Manifest> {
    const { bundle, chunks } = pack(files);
    const { isLive = true, isPending = true, ...said } = more;
    const version = await bundleVersion(bundle);
    const manifest = ManifestSchema.parse({ owner: "local", name: "pushed", ...said, version });
    for (const [sha, bytes] of chunks) this.chunks.set(sha, bytes);
    this.bundles.set(version, bundle);
    const size = { bytes: bundleBytes(bundle), files: bundle.files.length };
    this.models = [...this.models, { manifest, bundle: size, isLive, isPending, pushedAt: this.models.length }];
    return manifest;
  }

  /** Serves it on a port of its own. */
  async listen(): Promise<{ url: URL; close(): void }> {
    const server = createServer((request, reply) => void this.handle(request, Buffer.alloc(0), reply));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const close = () => {
      server.closeAllConnections();
      server.close();
    };
    return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), close };
  }

  /** Whether the request was for this; then it is answered. */
  async handle(request: IncomingMessage, body: Buffer, reply: ServerResponse): Promise<boolean> {
    const path = new URL(request.url ?? "/", "http://edge").pathname;
    if (path === "/pool/v1/models") return this.#list(request, reply);
    const [, model = "", kind = "", last = ""] =
      /^\/pool\/v1\/models\/([^/]+\/[^/]+)\/(chunks|versions)\/(.+)$/.exec(path) ?? [];
    if (kind === "chunks") await this.#chunk(last, request, reply);
    else if (last.endsWith("/bundle")) json(reply, 200, this.#bundleOf(model, last.slice(0, 64)));
    else if (last.endsWith("/problem")) {
      const problem = VersionProblemSchema.parse(JSON.parse(body.toString()));
      this.problems.push({ ...problem, version: last.slice(0, 64) });
      if (this.againInMs === undefined) reply.writeHead(204).end();
      else json(reply, 200, { againInMs: this.againInMs });
    } else return false;
    return true;
  }

  #bundleOf(model: string, version: string): unknown {
    const known = this.models.some(({ manifest }) => modelPath(manifest) === model && manifest.version === version);
    return known ? this.bundles.get(version) : { error: "not found" };
  }

  #list(request: IncomingMessage, reply: ServerResponse): true {
    this.lists += 1;
    const etag = `"${sha256(Buffer.from(JSON.stringify(this.models)))}"`;
    if (this.listStatus !== 200) json(reply, this.listStatus, { error: "told to" });
    else if (request.headers["if-none-match"] === etag) reply.writeHead(304, { etag }).end();
    else json(reply, 200, { models: this.models }, { etag });
    return true;
  }

  async #chunk(sha: string, request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    this.asked.push(`${sha} ${from}`);
    const fault = this.faults.get(sha)?.shift();
    await (this.gates.get(sha) ?? this.gate);
    const whole = this.chunks.get(sha);
    if (whole === undefined || fault === "gone") return json(reply, 404, { error: "not found" });
    if (fault === "away") return json(reply, 503, { error: "away" });
    const rest = whole.subarray(from);
    const sent = faulty(rest, fault);
    const range = { "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` };
    reply.writeHead(from === 0 ? 200 : 206, {
      "content-length": fault === "cut" ? rest.length : sent.length,
      ...(from === 0 ? {} : range),
    });
    if (fault === "cut") reply.write(sent, () => reply.destroy());
    else reply.end(sent);
  }
}

function faulty(bytes: Buffer, fault: Fault | undefined): Buffer {
  if (fault === "wrong") return Buffer.alloc(bytes.length, "x");
  if (fault === "long") return Buffer.concat([bytes, Buffer.from("more")]);
  return fault === "short" || fault === "cut" ? bytes.subarray(0, Math.floor(bytes.length / 2)) : bytes;
}

function json(reply: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  reply.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}
