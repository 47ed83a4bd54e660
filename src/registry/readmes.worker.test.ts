/** Readmes lie in the bucket, whatever becomes of their model. */
import { beforeAll, expect, it } from "vitest";
import { call, callJson, newKey, testEnv } from "../../test/worker/edge-harness.ts";
import { sweepExpired } from "./sweep.ts";

const { DB, BLOBS } = testEnv;
let key = "";
beforeAll(async () => {
  key = await newKey("writer");
});

const make = async (name: string, readme?: string) =>
  callJson("/v1/models", { key, body: { owner: "writer", name, visibility: "private", hardware: "cpu", readme } });
const change = async (name: string, body: object) =>
  callJson(`/v1/models/writer/${name}`, { method: "PATCH", key, body });
const readmeOf = async (name: string) => {
  const answer = await call(`/v1/models/writer/${name}/readme`, { key });
  return answer.status === 200 ? answer.text() : answer.status;
};
const inTheRow = async (name: string) =>
  DB.prepare("SELECT readme FROM models WHERE name = ?").bind(name).first("readme");
const inTheBucket = async (name: string) => (await BLOBS.get(`readmes/writer/${name}`))?.text();

it("is stored, changed and taken away", async () => {
  expect((await make("a", "# é")).status).toBe(201);
  expect([await readmeOf("a"), await inTheRow("a"), await inTheBucket("a")]).toEqual(["# é", null, "# é"]);
  await change("a", { description: "another" });
  expect(await readmeOf("a")).toBe("# é");
  await change("a", { readme: "" });
  expect(await readmeOf("a")).toBe("");
  await change("a", { readme: null });
  expect([await readmeOf("a"), await inTheBucket("a")]).toEqual([404, undefined]);
});

it("goes with its model, and is not the next one's of that name", async () => {
  await make("b", "first");
  expect((await make("b", "an impostor's")).status).toBe(409);
  expect(await readmeOf("b")).toBe("first");
  await call("/v1/models/writer/b", { method: "DELETE", key });
  expect(await inTheBucket("b")).toBeUndefined();
  await make("b");
  expect(await readmeOf("b")).toBe(404);
});

it("is moved into the bucket where it lies in its row, unless its owner was faster", async () => {
  await make("c");
  await make("d", "newer");
  await DB.prepare("UPDATE models SET readme = 'older', readme_bytes = NULL WHERE name IN ('c', 'd')").run();
  expect(await readmeOf("c")).toBe("older");
  await sweepExpired(testEnv);
  expect([await readmeOf("c"), await inTheRow("c"), await inTheBucket("c")]).toEqual(["older", null, "older"]);
  expect([await readmeOf("d"), await inTheRow("d")]).toEqual(["newer", null]);
});
