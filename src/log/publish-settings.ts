/** Which topics the operator turned on: `PUBLISH_TOPICS`, `PUBLISH_OUTPUT` and `PUBLISH_USAGE`. */
import { publishedTopics } from "../contract/published.ts";
import type { PublishedTopic } from "../contract/published.ts";

/** Of the Worker's environment; the local stack reads them before it starts one. */
type PublishVars = { PUBLISH_TOPICS?: string; PUBLISH_OUTPUT?: string; PUBLISH_USAGE?: string };

export type PublishSettings = {
  topics: ReadonlySet<PublishedTopic>;
  /** Whether `results` carry output. */
  withOutput: boolean;
  /** `usage` carries every usage record as an event, and not what releases before published of ended predictions. */
  usageEvents?: true | undefined;
  /** What is wrong with the settings, for the operator; null: nothing. What is wrong counts as off. */
  problem: string | null;
};

export function readPublishSettings(env: PublishVars): PublishSettings {
  const names = (env.PUBLISH_TOPICS ?? "").split(/[\s,]+/).filter((name) => name !== "");
  const topics = new Set(publishedTopics.filter((topic) => names.includes(topic)));
  const unknown = names.filter((name) => !publishedTopics.some((topic) => topic === name));
  const output = env.PUBLISH_OUTPUT ?? "";
  const usage = env.PUBLISH_USAGE ?? "";
  const problems = [
    ...unknown.map((name) => `PUBLISH_TOPICS: there is no topic "${name}"; it takes ${publishedTopics.join(", ")}`),
    ...(["", "0", "1"].includes(output) ? [] : [`PUBLISH_OUTPUT is "${output}"; it takes 0 or 1`]),
    ...(["", "events", "v1"].includes(usage) ? [] : [`PUBLISH_USAGE is "${usage}"; it takes events or v1`]),
  ];
  return {
    topics,
    withOutput: output === "1",
    ...(usage === "v1" ? {} : { usageEvents: true }),
    problem: problems.length === 0 ? null : problems.join("; "),
  };
}

/** Whether shards publish what ended; usage events are the meters' to publish. */
export function publishesEnds({ topics, usageEvents }: PublishSettings): boolean {
  return [...topics].some((topic) => topic !== "usage" || usageEvents !== true);
}
