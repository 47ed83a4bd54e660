import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureEdgeKeys } from "./edge.ts";

let status = 200;
const calls: string[] = [];
const server = createServer(({ method, url }, reply) => {
  calls.push(`${method} ${url}`);
  if (url === "/v1/account") reply.writeHead(status).end("{}");
  else reply.end(JSON.stringify({ results: [{ name: "local" }], key: "new key", token: "new token" }));
});
beforeAll(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
afterAll(() => new Promise((resolve) => server.close(resolve)));

const keys = { edgeplaneSecret: null, credentialSecret: null, adminKey: "a", apiKey: "key", poolToken: "token" };
const ensure = () => ensureEdgeKeys(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, keys, "local");

test("keys that are kept are made anew where the edge doesn't know them, and not where it doesn't say", async () => {
  expect(await ensure()).toEqual({ apiKey: "key", poolToken: "token", made: false });
  status = 503;
  await expect(ensure()).rejects.toThrow("answered 503");
  expect(calls).toEqual(["GET /v1/account", "GET /v1/account"]);
  status = 401;
  expect(await ensure()).toEqual({ apiKey: "new key", poolToken: "new token", made: true });
});
