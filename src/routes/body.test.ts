import { expect, it } from "vitest";
import { readText } from "./body.ts";

/** A request that counts how often it is asked for its stream. */
function counted(text: string, headers: Record<string, string>) {
  const request = new Request("https://edge.test/", { method: "POST", body: text, headers });
  const { body } = request;
  const asked = { times: 0 };
  Object.defineProperty(request, "body", {
    get() {
      asked.times += 1;
      return body;
    },
  });
  return { request, asked };
}

it("makes no stream of a short body whose length is known", async () => {
  const { request, asked } = counted("{}", { "content-length": "2" });
  expect([await readText(request, 100), asked.times]).toEqual(["{}", 0]);
});

it("reads a body of an unknown length, and refuses what is too long of it", async () => {
  expect(await readText(counted("{}", {}).request, 100)).toBe("{}");
  await expect(readText(counted("x".repeat(101), {}).request, 100)).rejects.toMatchObject({
    code: "payload_too_large",
  });
});

it("reads no body as an empty text", async () => {
  const none = (headers: Record<string, string>) => new Request("https://edge.test/", { method: "POST", headers });
  expect(await readText(none({ "content-length": "0" }), 100)).toBe("");
  expect(await readText(none({}), 100)).toBe("");
});
