/** A webhook receiver on loopback that keeps what it gets. */
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

export type Received = { headers: Record<string, string>; body: string };

export type WebhookReceiver = {
  url: string;
  received: Received[];
  /** Waits until `holds` says yes of what was received; throws after 15 s. */
  until(holds: (received: readonly Received[]) => boolean): Promise<void>;
  close(): void;
};

export async function createWebhookReceiver(): Promise<WebhookReceiver> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [name, String(value)]);
      received.push({ headers: Object.fromEntries(headers), body: Buffer.concat(chunks).toString() });
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the receiver has no port");
  return {
    url: `http://127.0.0.1:${address.port}/hook`,
    received,
    async until(holds) {
      const giveUpAt = performance.now() + 15_000;
      while (!holds(received)) {
        if (performance.now() > giveUpAt) throw new Error(`the webhooks did not come; ${received.length} did`);
        await sleep(20);
      }
    },
    close: () => server.close(),
  };
}
