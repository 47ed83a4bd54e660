import { createServer } from "node:http";
import { expect, test } from "vitest";
import { helloThrough, offeredModels } from "./hello.ts";

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

test("models of one's own are waited for; what an earlier start left in the list doesn't count", async () => {
  const old = { owner: "local", name: "old" };
  const mine = { owner: "local", name: "mine" };
  const answers = [{ results: [] }, { results: [old] }, { results: [old, mine] }];
  expect(await against(answers, (stack) => offeredModels(stack, ["mine", "no-model"]))).toEqual(["local/mine"]);
  await expect(against([{ results: [old] }], (stack) => offeredModels(stack, ["mine"], 300))).rejects.toThrow(
    /no model/,
  );
});
