import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import * as z from "zod";
import { startStopwatch } from "../../test/stalls.ts";
import { nearest, sayNearestLine } from "./nearest-line.ts";

const models = mkdtempSync(join(tmpdir(), "edgeplane-nearest-"));
afterAll(() => rmSync(models, { recursive: true, force: true }));
mkdirSync(join(models, "sentence-embeddings"));
writeFileSync(join(models, "sentence-embeddings/cog.yaml"), "");
writeFileSync(join(models, "sentence-embeddings/sonnets.txt"), "a line\nthe nearest line\n\nanother line\n");

const encoded = (...numbers: number[]) => Buffer.from(Float32Array.from(numbers).buffer).toString("base64");
const BodySchema = z.object({ input: z.object({ text: z.array(z.string()), encoding: z.literal("base64") }) });

/** What is said when the API answers a prediction of `texts` with `answer`. */
async function said(answer: (texts: string[]) => object, limitMs = 5000): Promise<string[]> {
  let texts: string[] = [];
  const server = createServer((request, reply) => {
    let body = "";
    request.on("data", (part) => (body += String(part)));
    request.on("end", () => {
      if (body !== "") ({ text: texts } = BodySchema.parse(JSON.parse(body)).input);
      const first = { id: "p", status: "starting" };
      reply.writeHead(200).end(JSON.stringify(request.method === "POST" ? first : { id: "p", ...answer(texts) }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const lines: string[] = [];
  await sayNearestLine({
    url: `http://127.0.0.1:${port}`,
    apiKey: "k",
    models,
    say: (line) => lines.push(line),
    limitMs,
  });
  server.close();
  return lines
    .join("\n")
    .split("\n")
    .filter((line) => line.trim() !== "");
}

test("says which line is nearest, in two lines", async () => {
  const vectors = [encoded(1, 0), encoded(0.6, 0.8), encoded(-1, 0)];
  const lines = await said((texts) => ({
    status: "succeeded",
    output: texts.length === 3 ? vectors : [encoded(0, 1)],
  }));
  expect(lines).toHaveLength(2);
  expect(lines[0]).toContain("3 lines");
  expect(lines[1]).toContain("“the nearest line”");
});

test("says in one line why it can't be shown, and goes on", async () => {
  const error = "The model could not be set up: No package registry could be reached:\nERROR: a\nERROR: b";
  const lines = await said(() => ({ status: "failed", error }));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("No package registry could be reached. Everything else works.");
});

test("waits no longer than its limit", async () => {
  using watch = startStopwatch();
  const lines = await said(() => ({ status: "processing" }), 700);
  expect(watch.ms()).toBeLessThan(3000);
  expect(lines).toEqual([expect.stringMatching(/not ready after \d+\.\d s; it goes on/)]);
});

test("is silent where there is no such example", async () => {
  const lines: string[] = [];
  await sayNearestLine({
    url: "http://127.0.0.1:1",
    apiKey: "k",
    models: join(models, "none"),
    say: (line) => lines.push(line),
  });
  expect(lines).toEqual([]);
});

test("nearest is the largest dot product", () => {
  expect(
    nearest(
      [1, 2],
      [
        [1, 0],
        [0, 1],
        [-1, -2],
      ],
    ),
  ).toBe(1);
});
