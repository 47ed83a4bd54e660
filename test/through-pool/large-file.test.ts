/**
 * A file of 200 MB through the whole stack: up in parts, down to the pool, through a model, up again in parts, and back
 * to the client.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as z from "zod";
import { startStack } from "../../scripts/lib/stack.ts";

const SIZE_BYTES = 200_000_000;
const MODEL = `
import shutil
import tempfile

from cog import BaseRunner, Path


class Runner(BaseRunner):
    def run(self, file: Path) -> Path:
        out = Path(tempfile.mkdtemp()) / "copy.bin"
        shutil.copyfile(file, out)
        return out
`;

const UploadSchema = z.object({ id: z.string(), part_size: z.number(), part_count: z.number() });
const FileSchema = z.object({ size: z.number(), urls: z.object({ get: z.string() }) });
const PredictionSchema = z.object({ status: z.string(), output: z.string().nullable(), error: z.unknown() });

test("a file of 200 MB goes through a model and comes back the same", async () => {
  const home = mkdtempSync(join(tmpdir(), "edgeplane-large-file-"));
  mkdirSync(join(home, "models/copy-file"), { recursive: true });
  writeFileSync(join(home, "models/copy-file/cog.yaml"), "run: run.py:Runner\n");
  writeFileSync(join(home, "models/copy-file/run.py"), MODEL);
  const stack = await startStack({ offline: true, stateDir: join(home, "state"), models: join(home, "models") });
  const call = async (
    method: string,
    path: string,
    body?: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = {},
  ) => {
    const url = path.startsWith("http") ? path : `${stack.url}${path}`;
    const init = { method, headers: { authorization: `Bearer ${stack.apiKey}`, ...headers } };
    return fetch(url, body === undefined ? init : { ...init, body });
  };
  try {
    const content = randomBytes(SIZE_BYTES);
    const plan = JSON.stringify({ name: "large.bin", size: SIZE_BYTES });
    const json = { "content-type": "application/json" };
    const upload = UploadSchema.parse(await (await call("POST", "/v1/uploads", plan, json)).json());
    for (let number = 1; number <= upload.part_count; number += 1) {
      const part = content.subarray((number - 1) * upload.part_size, number * upload.part_size);
      expect((await call("PUT", `/v1/uploads/${upload.id}/parts/${number}`, part)).status).toBe(200);
    }
    const file = FileSchema.parse(await (await call("POST", `/v1/uploads/${upload.id}/complete`)).json());
    expect(file.size).toBe(SIZE_BYTES);

    const predictions = "/v1/models/local/copy-file/predictions";
    const body = JSON.stringify({ input: { file: file.urls.get } });
    await expect.poll(async () => (await call("GET", "/v1/models/local/copy-file")).status).toBe(200);
    const created = await call("POST", predictions, body, { ...json, prefer: "wait=60" });
    const prediction = PredictionSchema.parse(await created.json());
    expect(prediction).toMatchObject({ status: "succeeded", error: null });

    const link = prediction.output ?? "";
    expect(link).toMatch(/copy\.bin\?/);
    const back = Buffer.from(await (await fetch(link)).arrayBuffer());
    expect(sha256(back)).toBe(sha256(content));
    const end = await fetch(link, { headers: { range: "bytes=-5" } });
    expect([end.status, Buffer.from(await end.arrayBuffer()).equals(content.subarray(-5))]).toEqual([206, true]);
  } finally {
    await stack.stop();
    rmSync(home, { recursive: true, force: true });
  }
});

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
