import { expect, test } from "vitest";
import { ConfigurationsSchema, HeardConfigurationsSchema } from "./model-configuration.ts";

test("a pool goes by the keys that it knows when a later edge says more of a model", () => {
  const said = {
    configurations: { "local/a": { maxBatchSize: 3, ofALaterRelease: 1 }, "local/b": { pinned: true } },
    versions: { "local/a:v": { ofALaterRelease: 1 } },
  };
  expect(ConfigurationsSchema.safeParse(said).success).toBe(false);
  expect(HeardConfigurationsSchema.parse(said)).toEqual({
    configurations: { "local/a": { maxBatchSize: 3 }, "local/b": { pinned: true } },
    versions: { "local/a:v": {} },
  });
});
