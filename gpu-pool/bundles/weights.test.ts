import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { COMMIT, startHuggingFace } from "../../test/hugging-face.ts";
import type { Weight } from "../runtime/environments/weight-keys.ts";
import { WeightSchema } from "../runtime/environments/weight-keys.ts";
import { ContentFetcher } from "./content-fetcher.ts";
import { Contents } from "./contents.ts";
import { FetchProblem, SourceAway } from "./problems.ts";
import { findWeight } from "./weights.ts";

const rules = { allowLoopback: true, token: null, signal: new AbortController().signal };
const hf = (file: string, repository = "org/repo"): Weight => ({
  path: "weights/model.bin",
  from: { kind: "hf", repository, file, commit: COMMIT },
});
const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

async function fetched(found: Awaited<ReturnType<typeof findWeight>>): Promise<Buffer> {
  if ("bytes" in found) return found.bytes;
  const root = mkdtempSync(join(tmpdir(), "edgeplane-weights-"));
  try {
    const contents = new Contents(root);
    const pause = { firstMs: 1, capMs: 2 };
    const fetcher = new ContentFetcher({ contents, budgetBytes: Infinity, leastFreeBytes: 0, pause });
    await fetcher.ensure([found.content], {
      open: async (_, offset, signal) => found.open(offset, signal),
      onBytes: () => {},
      signal: rules.signal,
    });
    return await readFile(contents.pathOf(found.content));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

test("a file in LFS comes from where it is redirected to, goes on where it broke off, and is verified", async () => {
  await using hub = await startHuggingFace();
  const bytes = randomBytes(3_000_000);
  hub.files.set("org/repo/a dir/model.bin", { bytes, isLfs: true, isGated: true });
  hub.cutAt = 1_000_000;
  const found = await findWeight(hf("a dir/model.bin"), { ...rules, huggingFace: hub.url, token: "hf_good" });
  hub.cutAt = 2_000_000;
  expect((await fetched(found)).equals(bytes)).toBe(true);
  // The token goes to Hugging Face alone.
  expect(hub.asked.filter((asked) => asked.startsWith("cdn")).every((asked) => asked.startsWith("cdn - "))).toBe(true);
  expect(hub.asked).toContain("hub Bearer hf_good -");
  expect(hub.asked).toContain("cdn - bytes=2000000-");
  hub.wrong = randomBytes(3_000_000);
  await expect(fetched(found)).rejects.toBeInstanceOf(FetchProblem);
});

test("a small file is verified by git's hash, and a repository may have been renamed", async () => {
  await using hub = await startHuggingFace();
  hub.files.set("org/repo/config.json", { bytes: Buffer.from("{}"), isLfs: false });
  const at = { ...rules, huggingFace: hub.url };
  expect(await findWeight(hf("config.json", "old/name"), at)).toEqual({
    path: "weights/model.bin",
    bytes: Buffer.from("{}"),
  });
});

test.each([
  ["missing.bin", null, /hf:\/\/org\/repo\/missing\.bin@c{40} answered 404$/],
  ["gated.bin", null, /answered 401: it is gated or private, and the model needs the secret HF_TOKEN/],
  ["gated.bin", "hf_bad", /answered 401: .* its secret HF_TOKEN may not read it/],
])("%s with the token %s is a problem that says what to do", async (file, token, words) => {
  await using hub = await startHuggingFace();
  hub.files.set("org/repo/gated.bin", { bytes: Buffer.from("x"), isLfs: true, isGated: true });
  const asked = findWeight(hf(file), { ...rules, huggingFace: hub.url, token });
  await expect(asked).rejects.toSatisfy((error) => error instanceof FetchProblem && words.test(error.message));
});

test("any server's file is fetched by its SHA-256, from public addresses only", async () => {
  const bytes = randomBytes(2_000_000);
  const server = createServer((_, reply) => void reply.end(bytes));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x.bin`;
    const weight = (sha256: string): Weight => ({ path: "x.bin", from: { kind: "https", url, sha256 } });
    expect((await fetched(await findWeight(weight(hash(bytes)), rules))).equals(bytes)).toBe(true);
    await expect(fetched(await findWeight(weight("0".repeat(64)), rules))).rejects.toBeInstanceOf(FetchProblem);
    await expect(findWeight(weight(hash(bytes)), { ...rules, allowLoopback: false })).rejects.toThrow("public address");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("a server that never answers is away, and nothing waits for it", async () => {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x.bin`;
    const weight: Weight = { path: "x.bin", from: { kind: "https", url, sha256: "0".repeat(64) } };
    await expect(findWeight(weight, { ...rules, answerMs: 50 })).rejects.toBeInstanceOf(SourceAway);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test.each([
  ["https://example.com/x.bin", false],
  [`http://example.com/x.bin#sha256=${"0".repeat(64)}`, false],
  ["hf://org/repo/x.bin@main", false],
  [`hf://org/repo/../x.bin@${COMMIT}`, false],
  [`https://example.com/x.bin#sha256=${"0".repeat(64)}`, true],
  [`hf://org/repo/a/x.bin@${COMMIT}`, true],
])("%s may be said: %s", (from, isRight) => {
  expect(WeightSchema.safeParse({ path: "x.bin", from }).success).toBe(isRight);
  expect(WeightSchema.safeParse({ path: "../x.bin", from }).success).toBe(false);
});
