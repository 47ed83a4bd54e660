import { expect, test } from "vitest";
import { stackPoolEnv } from "./stack-pool-env.ts";

test("a pool beside its edge has no environments stored there, unless the user or the caller says so", () => {
  const stored = (env: Record<string, string>, poolEnv = {}) =>
    stackPoolEnv({ poolEnv }, env).EDGEPLANE_STORED_ENVIRONMENTS;
  expect(stored({})).toBe("0");
  expect(stored({ EDGEPLANE_STORED_ENVIRONMENTS: "1" })).toBe("1");
  expect(stored({}, { EDGEPLANE_STORED_ENVIRONMENTS: "1" })).toBe("1");
});
