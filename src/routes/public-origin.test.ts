import { expect, it } from "vitest";
import { publicRequest } from "./public-origin.ts";

const request = () =>
  new Request("http://10.0.0.7:8787/v1/models?query=a", {
    method: "POST",
    headers: { authorization: "Bearer k" },
    body: "b",
  });

it("gives the request the address that its client used", async () => {
  const seen = publicRequest(request(), { PUBLIC_ORIGIN: "https://edge.example.com" });
  expect([seen.url, seen.method, seen.headers.get("authorization"), await seen.text()]).toEqual([
    "https://edge.example.com/v1/models?query=a",
    "POST",
    "Bearer k",
    "b",
  ]);
});

it.each([
  "",
  "edge.example.com",
  "https://edge.example.com/",
  "https://a@b",
  "ftp://x",
  "https://[",
  "javascript:alert(1)",
])("leaves it as it came with %j", (origin) => {
  expect(publicRequest(request(), { PUBLIC_ORIGIN: origin }).url).toBe("http://10.0.0.7:8787/v1/models?query=a");
});
