import fc from "fast-check";
import { expect, it } from "vitest";
import { isAmong, StickyBySchema, subjectOf } from "./split.ts";

const subjects = Array.from({ length: 20_000 }, (_, index) => `account-${index}`);

it.each([0.5, 5, 25, 50, 100])("takes %f percent of the subjects", (percent) => {
  const taken = subjects.filter((subject) => isAmong(percent, "salt", subject)).length;
  const expected = (subjects.length * percent) / 100;
  expect(Math.abs(taken - expected)).toBeLessThanOrEqual(5 * Math.sqrt(expected));
});

it("keeps who is in while the percentage grows, and nobody at none", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.double({ min: 0, max: 100, noNaN: true }), (salt, subject, percent) => {
      if (isAmong(percent, salt, subject)) expect(isAmong(Math.min(100, percent + 1), salt, subject)).toBe(true);
      expect([isAmong(0, salt, subject), isAmong(100, salt, subject)]).toEqual([false, true]);
    }),
  );
});

it("draws anew for each canary", () => {
  const both = subjects.filter((subject) => isAmong(10, "one", subject) && isAmong(10, "two", subject)).length;
  expect(both).toBeLessThan(subjects.length * 0.02);
});

it("tells requests apart by what it was asked to", () => {
  const asking = {
    predictionId: "id",
    accountId: "account",
    header: (name: string) => (name === "x-user" ? "ada" : undefined),
  };
  expect(subjectOf("request", asking)).toBe("id");
  expect(subjectOf("account", asking)).toBe("account");
  expect(subjectOf("header:x-user", asking)).toBe("ada");
  expect(subjectOf("header:x-none", asking)).toBe("id");
  expect(StickyBySchema.safeParse("header:Authorization").success).toBe(false);
  expect(StickyBySchema.safeParse("header:authorization").success).toBe(false);
});
