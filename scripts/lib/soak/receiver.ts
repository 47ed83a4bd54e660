/** A webhook receiver on loopback that forgets a message once it was waited for, so that it can run for hours. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export type Receiver = {
  /** An address of its own for one webhook, and its body once it came. Rejects when none came in time. */
  expect(limitMs: number): { url: string; message: Promise<string> };
  stop(): void;
};

export async function startReceiver(): Promise<Receiver> {
  const waiting = new Map<string, (body: string) => void>();
  let next = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      waiting.get(request.url ?? "")?.(Buffer.concat(chunks).toString());
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    expect(limitMs) {
      const path = `/${next++}`;
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const timer = setTimeout(() => reject(new Error(`no webhook came within ${limitMs} ms`)), limitMs);
      waiting.set(path, resolve);
      const message = promise.finally(() => {
        clearTimeout(timer);
        waiting.delete(path);
      });
      // The create beside it may reject first.
      message.catch(() => {});
      return { url: `http://127.0.0.1:${port}${path}`, message };
    },
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
