import { expect, test } from "vitest";
import { guardHost, isLoopbackHost } from "./local-guard.ts";

test.each([
  ["127.0.0.1:8787", true],
  ["localhost:8787", true],
  ["LOCALHOST", true],
  ["[::1]:8787", true],
  ["edge.localhost:1", true],
  ["evil.example", false],
  ["127.0.0.1.evil.example", false],
  ["localhost.evil.example:8787", false],
  ["", false],
])("isLoopbackHost(%j) is %j", (host, expected) => {
  expect(isLoopbackHost(host)).toBe(expected);
});

test("a foreign Host gets 403 and never reaches the Worker", async () => {
  let calls = 0;
  const guarded = guardHost({ fetch: () => (calls++, new Response("ok")) });
  const ask = (host: string, env: { LOCAL_HOSTS?: string } = {}) =>
    guarded.fetch(new Request("http://127.0.0.1:8787/", { headers: { host } }), env, null);
  expect((await ask("evil.example")).status).toBe(403);
  expect(calls).toBe(0);
  expect((await ask("127.0.0.1:8787")).status).toBe(200);
  expect((await ask("box.lan", { LOCAL_HOSTS: "box.lan" })).status).toBe(200);
});
