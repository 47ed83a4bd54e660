import { expect, it } from "vitest";
import { readPublishSettings } from "./publish-settings.ts";

it("reads the topics, and says what is wrong", () => {
  expect(readPublishSettings({})).toEqual({ topics: new Set(), withOutput: false, problem: null });
  const on = readPublishSettings({ PUBLISH_TOPICS: "usage, jobs.dlq", PUBLISH_OUTPUT: "1" });
  expect(on).toEqual({ topics: new Set(["usage", "jobs.dlq"]), withOutput: true, problem: null });
  const wrong = readPublishSettings({ PUBLISH_TOPICS: "results,dlq", PUBLISH_OUTPUT: "yes" });
  expect(wrong.topics).toEqual(new Set(["results"]));
  expect(wrong.problem).toBe(
    'PUBLISH_TOPICS: there is no topic "dlq"; it takes results, usage, jobs.dlq; PUBLISH_OUTPUT is "yes"; it takes 0 or 1',
  );
});
