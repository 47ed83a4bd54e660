import { describe, expect, it } from "vitest";
import { BundleSchema, canonicalJson, MAX_BUNDLE_JSON_BYTES } from "./bundle.ts";
import { MAX_FRAMES, MAX_FRAMES_BYTES } from "./chunk-frames.ts";
import {
  DesiredModelsSchema,
  MAX_ASKED_CHUNKS,
  MAX_DESIRED_MODELS,
  MAX_PROBLEM_CHARS,
  MAX_PROBLEM_LOG_CHARS,
  MissingChunksRequestSchema,
  MissingChunksSchema,
  NAMED_MISSING_CHUNKS,
  PushSchema,
  VersionProblemSchema,
  VersionStateSchema,
} from "./push.ts";

const HASH = "ab".repeat(32);
const bundle = { format: 1, files: [{ path: "cog.yaml", mode: 0o644, bytes: 3, chunks: [HASH] }] };
const manifest = { owner: "a", name: "b", version: HASH };

describe("what crosses the wire when a model is pushed", () => {
  it("is the files and what the version says of itself, with defaults for what it leaves out", () => {
    const push = PushSchema.parse({ bundle, manifest });
    expect(push).toMatchObject({ latest: true, manifest: { schema: null, lane: "default", maxBatchSize: 1 } });
    expect(PushSchema.parse({ bundle, manifest, latest: false }).manifest).not.toHaveProperty("owner");
    expect(PushSchema.safeParse({ bundle: { ...bundle, format: 2 }, manifest }).success).toBe(false);
  });

  it("fits into one request: a bundle and a manifest of 1 MiB", () => {
    expect(MAX_BUNDLE_JSON_BYTES + 1024 * 1024).toBeLessThanOrEqual(16 * 1024 * 1024);
    expect(canonicalJson(BundleSchema.parse(bundle))).toBe(JSON.stringify(bundle));
    expect(MAX_FRAMES_BYTES / MAX_FRAMES).toBe(32 * 1024);
  });

  it("has bounds on all that is listed", () => {
    const hashes = (count: number) => ({ chunks: Array<string>(count).fill(HASH) });
    expect(MissingChunksRequestSchema.safeParse(hashes(MAX_ASKED_CHUNKS)).success).toBe(true);
    expect(MissingChunksRequestSchema.safeParse(hashes(MAX_ASKED_CHUNKS + 1)).success).toBe(false);
    expect(MissingChunksSchema.parse({ missing: [HASH] }).missing.length).toBeLessThan(NAMED_MISSING_CHUNKS);
    const models = (count: number) =>
      Array.from({ length: count }, () => ({ manifest, bundle: { bytes: 3, files: 1 }, isLive: true }));
    expect(DesiredModelsSchema.safeParse({ models: models(MAX_DESIRED_MODELS) }).success).toBe(true);
    expect(DesiredModelsSchema.safeParse({ models: models(MAX_DESIRED_MODELS + 1) }).success).toBe(false);
  });

  it("is a problem with its stage and the last lines of a log, both bounded", () => {
    const problem = { stage: "build", problem: "no matching distribution" };
    expect(VersionProblemSchema.parse(problem)).toEqual({ ...problem, log: "" });
    expect(VersionProblemSchema.safeParse({ ...problem, stage: "predict" }).success).toBe(false);
    expect(VersionProblemSchema.safeParse({ ...problem, problem: "x".repeat(MAX_PROBLEM_CHARS + 1) }).success).toBe(
      false,
    );
    expect(VersionProblemSchema.safeParse({ ...problem, log: "x".repeat(MAX_PROBLEM_LOG_CHARS + 1) }).success).toBe(
      false,
    );
    const bundle = { bytes: 3, files: 1 };
    const rest = { log: null, bundle, plugins: [], plugin_problem: null };
    const state = { status: "failed", problem: "x", stage: "build", ...rest };
    expect(VersionStateSchema.parse(state)).toEqual(state);
  });
});
