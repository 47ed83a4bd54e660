import { expect, it } from "vitest";
import { checkWorkerVars } from "./preflight.ts";
import { StackError } from "./stack-error.ts";

it("starts no edge whose variables are wrong", () => {
  for (const right of [{}, { PUBLISH_TOPICS: "" }, { PUBLISH_TOPICS: "results, usage", PUBLISH_OUTPUT: "1" }]) {
    expect(() => checkWorkerVars(right)).not.toThrow();
  }
  expect(() => checkWorkerVars({ PUBLISH_TOPICS: "result" })).toThrow(StackError);
  expect(() => checkWorkerVars({ PUBLISH_TOPICS: "result" })).toThrow(/no topic "result"; it takes results, usage/);
  expect(() => checkWorkerVars({ PUBLISH_OUTPUT: "yes" })).toThrow(/PUBLISH_OUTPUT/);
  expect(() => checkWorkerVars({ LOG_BROKERS: "two" })).toThrow(/LOG_BROKERS is "two".*wrangler\.toml/);
});
