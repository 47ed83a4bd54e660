import { expect, it } from "vitest";
import { publishesEnds, readPublishSettings } from "./publish-settings.ts";

it("reads the topics, and says what is wrong", () => {
  expect(readPublishSettings({})).toEqual({ topics: new Set(), withOutput: false, usageEvents: true, problem: null });
  const on = readPublishSettings({ PUBLISH_TOPICS: "usage, jobs.dlq", PUBLISH_OUTPUT: "1", PUBLISH_USAGE: "v1" });
  expect(on).toEqual({ topics: new Set(["usage", "jobs.dlq"]), withOutput: true, problem: null });
  const wrong = readPublishSettings({ PUBLISH_TOPICS: "results,dlq", PUBLISH_OUTPUT: "yes", PUBLISH_USAGE: "2" });
  expect(wrong.topics).toEqual(new Set(["results"]));
  expect(wrong.problem).toBe(
    'PUBLISH_TOPICS: there is no topic "dlq"; it takes results, usage, jobs.dlq; PUBLISH_OUTPUT is "yes"; it takes 0 or 1; ' +
      'PUBLISH_USAGE is "2"; it takes events or v1',
  );
});

it("has shards publish ends only where a topic is made of them", () => {
  const publishes = (env: Parameters<typeof readPublishSettings>[0]) => publishesEnds(readPublishSettings(env));
  expect(publishes({})).toBe(false);
  expect(publishes({ PUBLISH_TOPICS: "usage" })).toBe(false);
  expect(publishes({ PUBLISH_TOPICS: "usage", PUBLISH_USAGE: "v1" })).toBe(true);
  expect(publishes({ PUBLISH_TOPICS: "usage,results", PUBLISH_USAGE: "events" })).toBe(true);
});
