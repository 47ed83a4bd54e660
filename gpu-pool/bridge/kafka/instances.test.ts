/** How many instances each user may have; the member of a group is the test's. */
import { expect, test, vi } from "vitest";
import { KafkaSettingsSchema } from "../settings.ts";
import { Instances } from "./instances.ts";

vi.mock("./member.ts", () => ({
  GroupMember: class {
    hasUncommitted = false;
    async close() {}
  },
}));

const headers = { offsetReset: "latest", autoCommit: false, autoCommitIntervalMs: 5000 } as const;

/** What opens as many instances as `user` may have, of eight that there may be, where `users` may read. */
function setUp(...users: string[]) {
  const readers = users.map((username) => ({ username, password: "12345678", consume: [""] }));
  const edge = { username: "edge", password: "12345678", produce: [""] };
  const settings = KafkaSettingsSchema.parse({
    ...{ brokers: ["127.0.0.1:1"], users: [edge, ...readers], limits: { maxInstances: 8 } },
  });
  const instances = new Instances(settings);
  const open = (username: string, wanted: number): number => {
    for (let count = 0; count < wanted; count += 1) {
      try {
        instances.open({ username, group: "g", instance: `${count}` }, ["t"], headers);
      } catch (error) {
        expect(error).toMatchObject({ code: "rate_limited" });
        return count;
      }
    }
    return wanted;
  };
  return { instances, open };
}

test("one user who takes all that there are leaves some to each other", async () => {
  const { instances, open } = setUp("greedy", "small", "late");
  expect(open("greedy", 100)).toBe(4);
  expect(open("small", 2)).toBe(2);
  expect(open("late", 1)).toBe(1);
  await instances.close();
});

test("the only user who reads has all", async () => {
  const { instances, open } = setUp("pool");
  expect(open("pool", 100)).toBe(8);
  await instances.close();
});
