import { expect, it } from "vitest";
import { readJson, readText } from "./body.ts";

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

it("refuses a number that no number of JavaScript's is: it would go on as null", async () => {
  const posted = (body: string) => new Request("https://edge.test/", { method: "POST", body });
  for (const number of [
    "1e309",
    "-1E+400",
    "9".repeat(400),
    `${"9".repeat(400)}.5`,
    `${"9".repeat(250)}e99`,
    `${"9".repeat(305)}e9`,
  ])
    await expect(readJson(posted(`{"input":{"list":[1,${number}]}}`))).rejects.toMatchObject({
      code: "invalid_input",
      options: { invalidFields: [{ field: "input.list.1", description: "is larger than a number can be" }] },
    });
  const [large, text] = ["[1e308, 1e0000009, 0.1e-400]", '["1e999"]'];
  expect(await readJson(posted(large))).toEqual([1e308, 1e9, 0]);
  expect(await readJson(posted(text))).toEqual(["1e999"]);
  // Nobody could send it otherwise.
  expect(await readJson(posted("[1e999]"), undefined, "replaced")).toEqual([Infinity]);
});
