import { expect, test } from "vitest";
import { parseNvidiaSmi } from "./devices.ts";
import { fileFields } from "./inputs.ts";

const uri = { type: "string", format: "uri" };

test("finds the file fields of a schema, in lists and optional ones too", () => {
  const properties = {
    file: uri,
    files: { type: "array", items: uri },
    maybe: { anyOf: [uri, { type: "null" }] },
    some: { allOf: [{ anyOf: [{ type: "array", items: uri }] }] },
    text: { type: "string" },
    secret: { type: "string", format: "password" },
    choice: { allOf: [{ $ref: "#/components/schemas/choice" }] },
  };
  expect([...fileFields({ components: { schemas: { Input: { properties } } } })]).toEqual([
    "file",
    "files",
    "maybe",
    "some",
  ]);
  expect([...fileFields({})]).toEqual([]);
});

test("reads what nvidia-smi says, and passes over what it does not understand", () => {
  const text = "0, NVIDIA H200, 143771\n1, NVIDIA A10G, [N/A]\nNo devices were found\n\n";
  expect(parseNvidiaSmi(text)).toEqual([
    { id: "0", kind: "cuda", name: "NVIDIA H200", memoryBytes: 143_771 * 1024 * 1024 },
    { id: "1", kind: "cuda", name: "NVIDIA A10G", memoryBytes: null },
  ]);
});
