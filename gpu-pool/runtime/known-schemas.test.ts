import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ManifestSchema } from "../../src/contract/manifest.ts";
import { KnownSchemas } from "./known-schemas.ts";

const manifestOf = (digit: string) => ManifestSchema.parse({ owner: "local", name: "m", version: digit.repeat(64) });

test("a signature outlives the pool, for the versions that are still there", () => {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-schemas-"));
  const [one, other] = [manifestOf("1"), manifestOf("2")];
  new KnownSchemas(folder).keep({ ...one, schema: { a: 1 }, streams: "iterate" });
  new KnownSchemas(folder).keep({ ...other, schema: { b: 1 } });
  const [again, fresh] = [manifestOf("1"), manifestOf("3")];
  const schemas = new KnownSchemas(folder);
  for (const manifest of [again, fresh]) schemas.recall(manifest);
  schemas.forgetAllBut([again, fresh]);
  expect(again).toMatchObject({ schema: { a: 1 }, streams: "iterate", version: one.version });
  expect(fresh.schema).toBeNull();
  expect(readdirSync(join(folder, "schemas"))).toEqual([`${one.version}.json`]);
});

test("what can't be read is not known, and a folder that can't be written does no harm", () => {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-schemas-"));
  const schemas = new KnownSchemas(folder);
  schemas.keep({ ...manifestOf("1"), schema: {} });
  writeFileSync(join(folder, "schemas", `${"1".repeat(64)}.json`), '{"schema":');
  const manifest = manifestOf("1");
  schemas.recall(manifest);
  expect(manifest.schema).toBeNull();
  const file = join(folder, "file");
  writeFileSync(file, "");
  expect(() => new KnownSchemas(file).keep(manifest)).not.toThrow();
  mkdirSync(join(folder, "schemas", `${"2".repeat(64)}.json`));
  expect(() => schemas.forget(manifestOf("2"))).not.toThrow();
  expect(() => schemas.forgetAllBut([])).not.toThrow();
});
