/** The document tells all that the app answers, and nothing else. */
import { expect, test } from "vitest";
import { callJson } from "../../../test/worker/edge-harness.ts";

test("the document is served without a key, and names its operations", async () => {
  const { status, body } = await callJson("/openapi.json");
  expect(status).toBe(200);
  expect(body).toMatchObject({ openapi: "3.1.1", paths: { "/v1/account": { get: { operationId: "getAccount" } } } });
});
