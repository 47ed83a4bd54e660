import { Hono } from "hono";
import { expect, it } from "vitest";
import { decodeBody } from "./decode-body.ts";

it("makes no stream of a body that isn't coded", async () => {
  const app = new Hono();
  app.use(decodeBody());
  app.post("/", async (c) => c.text(await c.req.raw.text()));
  const request = new Request("https://edge.test/", { method: "POST", body: "plain" });
  let asked = 0;
  Object.defineProperty(request, "body", {
    get() {
      asked += 1;
      return null;
    },
  });
  const answer = await app.fetch(request);
  expect([await answer.text(), asked]).toEqual(["plain", 0]);
});
