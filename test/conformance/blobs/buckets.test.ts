/**
 * The local stack's bucket against R2 as Miniflare simulates it: the same calls, the same answers; and no file is left
 * that nothing names.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { expect, test } from "vitest";
import * as z from "zod";

const TranscriptSchema = z.array(z.tuple([z.string(), z.unknown()]));
const AnswerSchema = z.object({ r2: TranscriptSchema, local: TranscriptSchema, swept: z.unknown() });

test("the local bucket answers as R2 does", async () => {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-buckets-"));
  mkdirSync(join(folder, "blobs"));
  const entry = fileURLToPath(new URL("fixture-worker.mjs", import.meta.url));
  const built = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    external: ["cloudflare:*"],
  });
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      cf: false,
      telemetry: { enabled: false },
      resourcePersistencePath: folder,
      workers: [
        {
          name: "buckets",
          modules: true,
          compatibilityDate: "2026-11-02",
          script: built.outputFiles[0]?.text ?? "",
          r2Buckets: ["R2"],
          durableObjects: { BLOB_INDEX: { className: "LocalBucketIndex", useSQLite: true } },
          serviceBindings: { BLOB_CONTENT: { disk: { path: join(folder, "blobs"), writable: true } } },
        },
      ],
    }),
  );
  try {
    const answer = await miniflare.dispatchFetch("http://localhost/");
    const { r2, local, swept } = AnswerSchema.parse(await answer.json());
    expect(local).toEqual(r2);
    expect(Object.fromEntries(r2)).toMatchObject({ "absent put": null, range: "ell", unfinished: null });
    expect(swept).toEqual({ young: true, old: false, partBytes: 7 });
    // "a/2", and "big" with its two parts.
    expect(readdirSync(join(folder, "blobs")).length).toBe(3);
  } finally {
    await miniflare.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
});
