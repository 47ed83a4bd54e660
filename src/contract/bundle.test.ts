import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BundleSchema,
  bundleBytes,
  bundleVersion,
  canonicalJson,
  CHUNK_BYTES,
  chunkSizes,
  MAX_BUNDLE_FILES,
  MAX_REPEATED_BYTES,
  pathProblem,
} from "./bundle.ts";
import type { Bundle, BundleFile } from "./bundle.ts";

const HASH = "ab".repeat(32);

function file(path: string, bytes = 0, chunks: string[] = bytes === 0 ? [] : [HASH]): BundleFile {
  return { path, mode: 0o644, bytes, chunks };
}

function bundle(...files: BundleFile[]): Bundle {
  return { format: 1, files };
}

/** What the schema says is wrong, a line each; "" when it takes it. */
function problems(value: unknown): string {
  const parsed = BundleSchema.safeParse(value);
  return parsed.success ? "" : parsed.error.issues.map(({ message }) => message).join("\n");
}

const segment = fc.stringMatching(/^[a-z0-9_-]{1,6}$/);
const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const sha256 = fc.stringMatching(/^[0-9a-f]{64}$/);
const contentOf = fc.integer({ min: 0, max: 3 * CHUNK_BYTES }).chain((bytes) => {
  const count = Math.ceil(bytes / CHUNK_BYTES);
  return fc.array(sha256, { minLength: count, maxLength: count }).map((chunks) => ({ bytes, chunks }));
});
const files = fc
  .uniqueArray(path, { minLength: 1, maxLength: 12 })
  .map((paths) => paths.filter((one) => !paths.some((other) => other.startsWith(`${one}/`))).toSorted())
  .chain((paths) =>
    fc.tuple(
      ...paths.map((one) =>
        fc
          .tuple(contentOf, fc.constantFrom<(420 | 493)[]>(420, 493))
          .map(([content, mode]): BundleFile => ({ path: one, mode, ...content })),
      ),
    ),
  );

describe("a bundle", () => {
  it("is taken when its files are, and its version depends on nothing but them", async () => {
    await fc.assert(
      fc.asyncProperty(files, async (some) => {
        const one = bundle(...some);
        expect(problems(one)).toBe("");
        expect(BundleSchema.parse(JSON.parse(canonicalJson(one)))).toEqual(one);
        const shuffled = bundle(
          ...some.toReversed().map(({ chunks, bytes, mode, path: at }) => ({ chunks, bytes, mode, path: at })),
        );
        expect(await bundleVersion(shuffled)).toBe(await bundleVersion(one));
        expect([...chunkSizes(one).values()].reduce((sum, bytes) => sum + bytes, 0)).toBe(bundleBytes(one));
      }),
      { numRuns: 50 },
    );
  });

  it("has another version when a path, a mode or a content changes", async () => {
    const changed = [
      bundle(file("a", 1)),
      bundle(file("b", 1)),
      bundle({ ...file("a", 1), mode: 0o755 }),
      bundle(file("a", 2)),
      bundle(file("a", 1, ["cd".repeat(32)])),
      bundle(file("a", 1), file("b")),
    ];
    const versions = await Promise.all(changed.map(bundleVersion));
    expect(new Set(versions).size).toBe(changed.length);
    expect(versions[0]).toBe("ace6f4a1f4bb12434c4569ac1c278fd8485b3b6f175309472d3bc6bd71a4c288");
  });

  it.each([
    ["/etc/passwd", "is not relative"],
    ["C:/windows", "is not relative"],
    ["../../etc/cron.d/x", "'..'"],
    ["a/../../b", "'..'"],
    ["./a", "'.'"],
    ["a//b", "empty part"],
    ["a/", "empty part"],
    ["", "is not relative"],
    ["a\\..\\b", "backslash"],
    ["a\0b", "control character"],
    ["a\u001b[2Jb", "control character"],
    ["a\ud800", "surrogate"],
    [".edgeplane/version.json", "the pool's own notes"],
    [".Edgeplane-environment", "the pool's own notes"],
    ["x".repeat(256), "more than 255 bytes"],
    ["é".repeat(128), "more than 255 bytes"],
    [`${"x".repeat(200)}/`.repeat(6) + "x", "more than 1024 characters"],
    ["a/".repeat(64) + "a", "64 folders deep"],
  ])("takes no path %j", (hostile, reason) => {
    expect(pathProblem(hostile)).toContain(reason);
    expect(problems(bundle(file(hostile)))).toContain(reason);
  });

  it("takes no two files that some host would make one, and names both", () => {
    expect(problems(bundle(file("A/x.py"), file("a/x.py")))).toMatch(/"a\/x.py" and "A\/x.py" differ only in case/);
    expect(problems(bundle(file("e\u0301"), file("\u00e9")))).toContain("differ only in case or Unicode form");
    expect(problems(bundle(file("\u03c2"), file("\u03c3")))).toContain("differ only in case");
    expect(problems(bundle(file("a"), file("a")))).toContain('"a" is there twice');
    expect(problems(bundle(file("a"), file("a/b")))).toContain('"a" is a file, and the folder of "a/b"');
    expect(problems(bundle(file("A/b/c"), file("a/B")))).toContain('"a/B" is a file, and the folder of "A/b/c"');
  });

  it("takes no files out of order, and no chunks that are not those of the size", () => {
    expect(problems(bundle(file("b"), file("a")))).toContain('"a" is not in the order of paths');
    expect(problems(bundle(file("a", 0, [HASH])))).toContain("are 0 chunks");
    expect(problems(bundle(file("a", CHUNK_BYTES + 1)))).toContain("are 2 chunks");
    expect(problems(bundle(file("a", 5), file("b", 6)))).toContain("would have 6 bytes here and 5 elsewhere");
    expect(problems(bundle(file("a", CHUNK_BYTES + 1, [HASH, HASH])))).toContain("elsewhere");
  });

  it("takes no bomb: content that is repeated beyond a bound, or more bytes than a version may have", () => {
    const copies = MAX_REPEATED_BYTES / CHUNK_BYTES;
    const repeated = (count: number) => bundle(file("a", count * CHUNK_BYTES, Array<string>(count).fill(HASH)));
    expect(problems(repeated(copies + 1))).toBe("");
    expect(problems(repeated(copies + 2))).toContain("repeat");
    expect(problems(bundle({ ...file("a"), bytes: 2 ** 50 }))).not.toBe("");
  });

  it("takes 100,000 files in a moment, and not one more", () => {
    const many = (count: number) =>
      bundle(...Array.from({ length: count }, (_, index) => file(`d/${String(index).padStart(6, "0")}/x`)));
    expect(problems(many(MAX_BUNDLE_FILES))).toBe("");
    expect(problems(many(MAX_BUNDLE_FILES + 1))).not.toBe("");
  });

  it("names the first problems only, and cuts long paths", () => {
    const wrong = Array.from({ length: 1000 }, (_, index) => file(`../${"x".repeat(900)}${index}`));
    expect(problems(bundle(...wrong)).length).toBeLessThan(10_000);
  });

  it.each([[{ mode: 0o777 }], [{ bytes: -1 }], [{ bytes: 1.5 }], [{ chunks: ["x"] }], [{ link: "/etc" }]])(
    "takes no file with %j",
    (wrong) => {
      expect(problems({ format: 1, files: [{ ...file("a"), ...wrong }] })).not.toBe("");
    },
  );
});
