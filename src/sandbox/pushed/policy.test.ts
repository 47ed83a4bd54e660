import { expect, it } from "vitest";
import { checkAllowed, PushedPolicySchema } from "./policy.ts";

it("names a few of the plugins that a push may not bring, however many it has", () => {
  const plugins = Array.from({ length: 100_000 }, (_, n) => ({ name: `plugin-${n}`, phases: [] }));
  const check = (): void => checkAllowed(PushedPolicySchema.parse({}), "somebody", plugins);
  expect(check).toThrow('"plugin-3", "plugin-4", and 99995 more');
  expect(check).not.toThrow("plugin-5");
});
