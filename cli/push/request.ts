/**
 * One request with a body of bytes, sent as they are read; its limit is silence, not its length. Whoever writes hears
 * when the system has taken the bytes, and may use their buffer again: a buffer for each mebibyte would keep the
 * garbage collector busier than the network.
 */
import { request as httpRequest, Agent as HttpAgent } from "node:http";
import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { request as httpsRequest, Agent as HttpsAgent } from "node:https";

/** Nothing was sent, and nothing came, for so long. */
const SILENCE_MS = 60_000;

/** Resolves once the buffer may be used again. */
export type Write = (bytes: Buffer) => Promise<void>;

export type Upload = {
  method: "PUT" | "POST";
  url: string;
  key: string;
  /** How many `body` writes. */
  bytes: number;
  body(write: Write): Promise<void>;
  /** Hears of bytes as the system takes them. */
  onSent(bytes: number): void;
  signal: AbortSignal;
};
export type Answer = { status: number; text: string; retryAfterS: number | null };

/** Connections are kept from one upload to the next. */
export class Sender {
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;

  constructor(connections: number) {
    const options = { keepAlive: true, maxSockets: connections };
    this.#http = new HttpAgent(options);
    this.#https = new HttpsAgent(options);
  }

  /** Rejects when no answer came, with the system's reason, or with the one that `body` threw. */
  async send({ method, url, key, bytes, body, onSent, signal }: Upload): Promise<Answer> {
    const target = new URL(url);
    const options: RequestOptions = {
      method,
      signal,
      headers: {
        authorization: `Bearer ${key}`,
        "content-type": "application/octet-stream",
        "content-length": bytes,
      },
    };
    const request =
      target.protocol === "https:"
        ? httpsRequest(target, { ...options, agent: this.#https })
        : httpRequest(target, { ...options, agent: this.#http });
    request.setTimeout(SILENCE_MS, () => request.destroy(new Error(`silent for ${SILENCE_MS / 1000} s`)));
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    request.once("response", resolve).on("error", reject);
    const write = async (part: Buffer): Promise<void> => {
      await flushed(request, part);
      onSent(part.length);
    };
    const sent = body(write).then(() => void request.end());
    sent.catch((error: unknown) => {
      reject(error);
      request.destroy();
    });
    // A refusal may come before all has been sent.
    const answer = await promise;
    let text = "";
    for await (const part of answer.setEncoding("utf8")) text += String(part);
    if (!request.writableFinished) request.destroy();
    await sent.catch(() => {});
    const status = answer.statusCode ?? 0;
    const retryAfter = Number(answer.headers["retry-after"] ?? Number.NaN);
    return { status, text, retryAfterS: Number.isFinite(retryAfter) ? retryAfter : null };
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }
}

async function flushed(request: ClientRequest, part: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  request.write(part, (error) => (error ? reject(error) : resolve()));
  await promise;
}
