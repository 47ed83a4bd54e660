import { createServer } from "node:http";
import { expect, test } from "vitest";
import { helloThrough } from "./hello.ts";

/** Runs `use` with the address of a server that answers the n-th request with `answers[n]`, or with the last. */
async function against<T>(answers: object[], use: (stack: { url: string; apiKey: string }) => Promise<T>): Promise<T> {
  let asked = 0;
  const server = createServer((_request, reply) => {
    reply.writeHead(200).end(JSON.stringify(answers[Math.min(asked++, answers.length - 1)]));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  try {
    return await use({ url: `http://127.0.0.1:${port}`, apiKey: "k" });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("a first prediction that takes longer than its request is waited for", async () => {
  const first = { id: "p", status: "starting", output: null, error: null };
  const answers = [first, { ...first, status: "processing" }, { ...first, status: "succeeded", output: "hello world" }];
  expect(await against(answers, helloThrough)).toBe('"hello world"');
  await expect(against([{ ...first, status: "failed", error: "no" }], helloThrough)).rejects.toThrow(/did not succeed/);
});
