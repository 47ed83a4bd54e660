/**
 * A webhook receiver on loopback: notes which `webhook-id`s and statuses came for each key, and answers as it is told
 * to.
 */
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import * as z from "zod";

const BodySchema = z.looseObject({ status: z.string(), output: z.unknown() });

export type Message = { webhookId: string; status: string; output: unknown };

/**
 * Answers a request; `index` counts all requests of this receiver, `tryOfKey` those for the same prediction, both from
 * 0.
 */
export type Answer = (response: ServerResponse, count: { index: number; tryOfKey: number }) => void;

export type Receiver = {
  /** Where the webhooks of `key` go. */
  urlOf(key: string): string;
  /** Every message that was received for `key`, repeated ones too. */
  received(key: string): Message[];
  /** Keys that were answered with a 2xx. */
  readonly delivered: ReadonlySet<string>;
  stop(): Promise<void>;
};

const accept: Answer = (response) => response.writeHead(204).end();

export async function startReceiver(answer: Answer = accept): Promise<Receiver> {
  const messages = new Map<string, Message[]>();
  const delivered = new Set<string>();
  let index = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const key = (request.url ?? "/").slice(1);
      const { status, output } = BodySchema.parse(JSON.parse(Buffer.concat(chunks).toString()));
      const list = messages.get(key) ?? [];
      messages.set(key, list);
      response.once("finish", () => {
        if (response.statusCode >= 200 && response.statusCode < 300) delivered.add(key);
      });
      list.push({ webhookId: String(request.headers["webhook-id"]), status, output });
      answer(response, { index: index++, tryOfKey: list.length - 1 });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    urlOf: (key) => `http://127.0.0.1:${port}/${key}`,
    received: (key) => messages.get(key) ?? [],
    delivered,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
