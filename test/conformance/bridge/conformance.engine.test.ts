/** The bridge over a real Kafka against the suite that every log must pass. */
import { describe } from "vitest";
import { runLogConformance } from "../log/suite.ts";
import { hasJava } from "./engines.ts";
import { all, useKafkaDoor } from "./fixture.ts";

describe.runIf(hasJava)("bridge over Apache Kafka", () => {
  const { url } = useKafkaDoor();
  runLogConformance({ name: "bridge", url: () => `${url()}/kafka`, username: all.username, password: all.password });
});
