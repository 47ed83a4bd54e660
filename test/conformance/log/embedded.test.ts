/** The embedded log against the suite that every log must pass: spread over several brokers, and on one. */
import { afterAll, beforeAll, describe } from "vitest";
import { startLogServer } from "./harness.ts";
import type { LogServer } from "./harness.ts";
import { runLogConformance } from "./suite.ts";

describe.each([
  { brokers: 4, partitions: 4 },
  { brokers: 1, partitions: 3 },
  { brokers: 2, partitions: 1 },
])("embedded, $brokers brokers, $partitions partitions", ({ brokers, partitions }) => {
  let server: LogServer;
  beforeAll(async () => {
    server = await startLogServer({ brokers, partitions });
  });
  afterAll(async () => {
    await server.stop();
  });
  runLogConformance({
    name: `embedded ${brokers}x${partitions}`,
    url: () => server.url,
    username: "test",
    password: "test-password",
  });
});
