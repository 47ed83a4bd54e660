import { expect, it } from "vitest";
import { checkPublishSettings } from "./preflight.ts";
import { StackError } from "./stack-error.ts";

it("starts no edge whose published topics are wrong", () => {
  for (const right of [{}, { PUBLISH_TOPICS: "" }, { PUBLISH_TOPICS: "results, usage", PUBLISH_OUTPUT: "1" }]) {
    expect(() => checkPublishSettings(right)).not.toThrow();
  }
  expect(() => checkPublishSettings({ PUBLISH_TOPICS: "result" })).toThrow(StackError);
  expect(() => checkPublishSettings({ PUBLISH_TOPICS: "result" })).toThrow(
    /no topic "result"; it takes results, usage/,
  );
  expect(() => checkPublishSettings({ PUBLISH_OUTPUT: "yes" })).toThrow(/PUBLISH_OUTPUT/);
});
