import { expect, test } from "vitest";
import { TransportError } from "../transport/http-client.ts";
import type { HttpClient } from "../transport/http-client.ts";
import { EdgeFiles } from "./edge-files.ts";

const ref = { owner: "acme", name: "m", version: "a".repeat(64) };

/** When a problem is told again that the edge answers so. */
async function againAfter(answer: () => Promise<{ status: number; text: string }>): Promise<number | null> {
  const request = async () => ({ ...(await answer()), headers: {} });
  const http = { request } as Partial<HttpClient> as HttpClient;
  return new EdgeFiles(http, "none").tell(ref, { stage: "setup", problem: "no", log: "", tries: 1 });
}

test("a problem that the edge has not heard is tried and told again, and one that it has when it says so", async () => {
  expect(await againAfter(() => Promise.reject(new TransportError("refused")))).toBe(30_000);
  expect(await againAfter(async () => ({ status: 503, text: "" }))).toBe(30_000);
  expect(await againAfter(async () => ({ status: 200, text: '{"againInMs":1000}' }))).toBe(1000);
  expect(await againAfter(async () => ({ status: 200, text: '{"againInMs":null}' }))).toBeNull();
  // By an older edge, or of a version that is gone.
  for (const status of [204, 404]) expect(await againAfter(async () => ({ status, text: "" }))).toBeNull();
});
