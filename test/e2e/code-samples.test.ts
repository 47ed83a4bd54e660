/** The code samples of a model's document run as they stand. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import * as z from "zod";

const stack = inject("stack");
const dir = mkdtempSync(join(tmpdir(), "edgeplane-samples-"));
const env = { ...process.env, EDGEPLANE_API_KEY: stack.apiKey };
const samples = new Map<string, string>();
const hasPythonClient = spawnSync("python3", ["-c", "import replicate"]).status === 0;

const SamplesSchema = z.array(z.object({ lang: z.string(), source: z.string() }));
const DocumentSchema = z.looseObject({
  paths: z.looseObject({
    "/v1/models/local/hello-world/predictions": z.looseObject({
      post: z.looseObject({ "x-codeSamples": SamplesSchema }),
    }),
  }),
});

beforeAll(async () => {
  const headers = { authorization: `Bearer ${stack.apiKey}` };
  const response = await fetch(`${stack.url}/v1/models/local/hello-world/openapi.json`, { headers });
  const { paths } = DocumentSchema.parse(await response.json());
  const found = paths["/v1/models/local/hello-world/predictions"].post["x-codeSamples"];
  for (const { lang, source } of found) samples.set(lang, source);
  symlinkSync(join(import.meta.dirname, "../../node_modules"), join(dir, "node_modules"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("curl", () => {
  const answered: unknown = JSON.parse(
    execFileSync("bash", ["-c", samples.get("Shell") ?? ""], { env, encoding: "utf8" }),
  );
  expect(answered).toMatchObject({ status: "succeeded", output: "hello hello" });
});

test("JavaScript", () => {
  const file = join(dir, "sample.mjs");
  writeFileSync(file, samples.get("JavaScript") ?? "");
  expect(execFileSync(process.execPath, [file], { env, encoding: "utf8" }).trim()).toBe("hello hello");
});

test.runIf(hasPythonClient)("Python", () => {
  const source = samples.get("Python") ?? "";
  expect(execFileSync("python3", ["-c", source], { env, encoding: "utf8" }).trim()).toBe("hello hello");
});

test("the page of the document brings its script from here", async () => {
  const page = await fetch(`${stack.url}/docs`);
  expect(page.headers.get("content-security-policy")).toContain("script-src 'self'");
  const sources = [...(await page.text()).matchAll(/<script src="([^"]+)"/g)].map((match) => match[1]);
  expect(sources).toEqual(["/docs/scalar.js"]);
  const script = await fetch(`${stack.url}/docs/scalar.js`);
  expect(script.headers.get("content-type")).toContain("text/javascript");
  expect(await script.text()).toContain("createApiReference");
});
