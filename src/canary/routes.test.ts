import { expect, it } from "vitest";
import { fits, RulesSchema } from "./routes.ts";
import type { Requester } from "./routes.ts";

const requester: Requester = {
  predictionId: "p1",
  accountId: "a1",
  accountName: "acme",
  header: (name) => ({ "x-channel": "beta-2", "x-user": "ada" })[name],
};
const ruleOf = (rule: object) => {
  const [parsed] = RulesSchema.parse([{ version: "stable", ...rule }]);
  if (parsed === undefined) throw new Error("no rule");
  return parsed;
};

it.each([
  [{}, true],
  [{ accounts: ["acme"] }, true],
  [{ accounts: ["other"] }, false],
  [{ header: { name: "x-channel" } }, true],
  [{ header: { name: "x-channel", value: "beta-2" } }, true],
  [{ header: { name: "x-channel", value: "beta" } }, false],
  [{ header: { name: "x-channel", prefix: "beta" } }, true],
  [{ header: { name: "x-none" } }, false],
  [{ header: { name: "x-channel" }, accounts: ["other"] }, false],
  [{ percent: 100 }, true],
])("the rule %j fits: %s", (rule, expected) => {
  expect(fits(ruleOf(rule), "acme/model", requester)).toBe(expected);
});

it("takes a share, the same for who stays the same", () => {
  const rule = ruleOf({ percent: 30, sticky_by: "header:x-user" });
  const users = Array.from({ length: 2000 }, (_, index) => ({ ...requester, header: () => `user-${index}` }));
  const taken = users.filter((user) => fits(rule, "acme/model", user));
  expect(Math.abs(taken.length - 600)).toBeLessThan(100);
  expect(taken.filter((user) => fits(rule, "acme/model", { ...user, predictionId: "p2" }))).toEqual(taken);
});

it.each([
  [[{ version: "a" }, { version: "b", percent: 5 }], [1]],
  [[{ version: "a", percent: 100 }, { version: "b" }], [1]],
  [[{ version: "a", header: { name: "Authorization" } }], [0, "header", "name"]],
  [[{ version: "a", header: { name: "cookie" } }], [0, "header", "name"]],
  [[{ version: "a", header: { name: "x", value: "1", prefix: "1" } }], [0, "header", "value"]],
  [[{ version: "a", account: "typo" }], [0]],
  [[{ version: "a", percent: 0 }], [0, "percent"]],
  [Array.from({ length: 33 }, () => ({ version: "a", percent: 1 })), []],
])("refuses %j, and says where", (rules, path) => {
  expect(RulesSchema.safeParse(rules).error?.issues.map((issue) => issue.path)).toEqual([path]);
});
