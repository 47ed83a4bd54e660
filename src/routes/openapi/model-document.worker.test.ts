/** A model's own document: its schemas in place, its samples ready to run. */
import { expect, test } from "vitest";
import { callJson, newKey, offer, ORIGIN } from "../../../test/worker/edge-harness.ts";
import type { Json } from "../../contract/prediction.ts";

const schema = {
  openapi: "3.0.2",
  components: {
    schemas: {
      Input: {
        type: "object",
        required: ["text", "style", "image", "count", "it's"],
        properties: {
          text: { type: "string" },
          style: { allOf: [{ $ref: "#/components/schemas/style" }] },
          image: { type: "string", format: "uri" },
          count: { type: "integer", minimum: 3 },
          seed: { type: "integer", nullable: true },
          "it's": { type: "boolean", default: false },
        },
      },
      style: { type: "string", enum: ["plain", "bold"] },
      Output: { $ref: "#/components/schemas/Status" },
      Status: { type: "object", properties: { code: { type: "integer" } } },
      PredictionRequest: { type: "object" },
    },
  },
} as unknown as Record<string, Json>;

async function documentOf(name: string): Promise<Record<string, unknown>> {
  const key = await newKey("documented");
  const { status, body } = await callJson(`/v1/models/acme/${name}/openapi.json`, { key });
  expect(status).toBe(200);
  return body;
}

/** What stands at a path of keys. */
function at(value: unknown, ...keys: string[]): unknown {
  return keys.reduce<unknown>((one, key) => (one as Record<string, unknown> | undefined)?.[key], value);
}

test("has the model's input and output, beside our own schemas of the same names", async () => {
  await offer({ name: "drawer", version: "d".repeat(64), schema });
  const document = await documentOf("drawer");
  const schemas = at(document, "components", "schemas");
  expect(document["info"]).toMatchObject({ title: "acme/drawer", version: "d".repeat(64) });
  expect(document["servers"]).toEqual([{ url: ORIGIN }]);
  expect(document["paths"]).toHaveProperty(["/v1/models/acme/drawer/predictions"]);
  expect(at(schemas, "NewPrediction", "properties", "input")).toEqual({ $ref: "#/components/schemas/Input" });
  expect(at(schemas, "Input", "properties", "seed")).toEqual({ anyOf: [{ type: "integer" }, { type: "null" }] });
  expect(at(schemas, "Output")).toEqual({ $ref: "#/components/schemas/ModelStatus" });
  expect(at(schemas, "ModelStatus", "properties")).toHaveProperty("code");
  expect(at(schemas, "Status", "enum")).toContain("succeeded");
  expect(schemas).not.toHaveProperty("PredictionRequest");
});

test("has samples with an input that the model takes", async () => {
  await offer({ name: "drawer", version: "d".repeat(64), schema });
  const run = at(await documentOf("drawer"), "paths", "/v1/models/acme/drawer/predictions", "post");
  const sample = at(run, "requestBody", "content", "application/json", "examples", "sample", "value", "input");
  expect(sample).toEqual({ text: "hello", style: "plain", image: "data:text/plain,hello", count: 3, "it's": false });
  const samples = at(run, "x-codeSamples") as { lang: string; source: string }[];
  expect(samples.map(({ lang }) => lang)).toEqual(["Shell", "JavaScript", "Python"]);
  expect(samples[0]?.source).toContain(String.raw`"it'\''s":false`);
  expect(samples[2]?.source).toContain(`"it's": False`);
});

test("is made in no time of schemas that repeat themselves", async () => {
  const again = { $ref: "#/components/schemas/Again" };
  const names = Array.from({ length: 12 }, (_, index) => `p${index}`);
  const Again = { type: "object", required: names, properties: Object.fromEntries(names.map((name) => [name, again])) };
  const Large = { enum: Array.from({ length: 20_000 }, (_, index) => `choice ${index}`) };
  const large = { $ref: "#/components/schemas/Large" };
  const many = Array.from({ length: 8000 }, (_, index): [string, Json] => [`l${index}`, large]);
  const Input = { type: "object", required: ["again"], properties: { again, ...Object.fromEntries(many) } };
  const repeating = { components: { schemas: { Input, Again, Large } } } as unknown as Record<string, Json>;
  await offer({ name: "repeating", version: "f".repeat(64), schema: repeating });
  expect(at(await documentOf("repeating"), "components", "schemas", "Large", "enum")).toHaveLength(20_000);
});

test("leaves references to elsewhere as they are", async () => {
  const Input = { type: "object", properties: { x: { $ref: "#/definitions/X" } } };
  await offer({ name: "elsewhere", version: "9".repeat(64), schema: { components: { schemas: { Input } } } });
  const properties = at(await documentOf("elsewhere"), "components", "schemas", "Input", "properties");
  expect(properties).toEqual({ x: { $ref: "#/definitions/X" } });
});

test("is there for a version that never loaded", async () => {
  await offer({ name: "sleeper", version: "e".repeat(64) });
  expect(at(await documentOf("sleeper"), "components", "schemas", "Input")).toEqual({ type: "object" });
});
