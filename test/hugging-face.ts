/** A server that speaks Hugging Face's resolve API, and one behind it that has the files in LFS. */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const COMMIT = "c".repeat(40);

export type HuggingFace = {
  url: string;
  files: Map<string, { bytes: Buffer; isLfs: boolean; isGated?: boolean }>;
  /** `hub …` and `cdn …`, with the authorization and the range of each. */
  asked: string[];
  /** What the CDN was asked for: the file, and the range. */
  sent: string[];
  /** What the CDN sends in place of a file. */
  wrong: Buffer | null;
  /** After so many bytes the CDN's next answer breaks off. */
  cutAt: number | null;
  /** Of each file the CDN sends nothing behind this, and leaves its answers open. */
  holdAt: number | null;
  [Symbol.asyncDispose](): Promise<void>;
};

/** `files`: by `owner/repository/path`. */
export async function startHuggingFace(): Promise<HuggingFace> {
  const servers: Server[] = [];
  const listen = async (server: Server): Promise<string> => {
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const state: HuggingFace = {
    url: "",
    files: new Map(),
    asked: [],
    sent: [],
    wrong: null,
    cutAt: null,
    holdAt: null,
    async [Symbol.asyncDispose]() {
      for (const server of servers) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
  const cdn = await listen(
    createServer((request, reply) => {
      const { authorization = "-", range = "-" } = request.headers;
      const file = decodeURIComponent(request.url?.slice(1) ?? "");
      state.asked.push(`cdn ${authorization} ${range}`);
      state.sent.push(`${file} ${range}`);
      const whole = state.wrong ?? state.files.get(file)?.bytes;
      if (whole === undefined) {
        reply.writeHead(404).end();
        return;
      }
      const from = Number(/^bytes=(\d+)-$/.exec(range)?.[1] ?? 0);
      const headers = from === 0 ? {} : { "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` };
      reply.writeHead(from === 0 ? 200 : 206, { ...headers, "content-length": whole.length - from });
      if (state.holdAt !== null) {
        reply.write(whole.subarray(from, state.holdAt));
        return;
      }
      if (state.cutAt === null) {
        reply.end(whole.subarray(from));
        return;
      }
      const part = whole.subarray(from, state.cutAt);
      state.cutAt = null;
      reply.write(part, () => reply.destroy());
    }),
  );
  state.url = await listen(createServer((request, reply) => answerHub(state, cdn, request, reply)));
  return state;
}

function answerHub(state: HuggingFace, cdn: string, request: IncomingMessage, reply: ServerResponse): void {
  const { authorization = "-" } = request.headers;
  state.asked.push(`hub ${authorization} -`);
  const [, repository = "", path = ""] =
    /^\/([^/]+\/[^/]+)\/resolve\/c{40}\/(.+)$/.exec(decodeURIComponent(request.url ?? "")) ?? [];
  const end = (status: number, headers: Record<string, string | number>, body?: Buffer): void =>
    void reply.writeHead(status, headers).end(body);
  if (repository === "old/name") return end(307, { location: (request.url ?? "").replace("old/name", "org/repo") });
  const file = state.files.get(`${repository}/${path}`);
  if (file === undefined) return end(404, { "x-error-code": "EntryNotFound" });
  if (file.isGated === true && authorization !== "Bearer hf_good") return end(401, { "x-error-code": "GatedRepo" });
  const { bytes } = file;
  if (!file.isLfs) {
    const hash = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
    return end(200, { etag: `"${hash}"`, "content-length": bytes.length }, bytes);
  }
  const linked = `"${createHash("sha256").update(bytes).digest("hex")}"`;
  const location = `${cdn}/${encodeURIComponent(`${repository}/${path}`)}`;
  end(302, { location, "x-linked-etag": linked, "x-linked-size": bytes.length, etag: '"other"' });
}
