import { expect, it } from "vitest";
import { offer, testEnv } from "../../test/worker/edge-harness.ts";
import { findModel } from "./models.ts";
import { recordRuns } from "./runs.ts";

it("adds up the totals of accounts and versions, whichever come twice or late", async () => {
  const [first, second] = ["1".repeat(64), "2".repeat(64)];
  await offer({ name: "totals", version: first });
  await offer({ name: "bystander", version: first });
  const note = async (...totals: [version: string, accountId: string, count: number][]) =>
    recordRuns(
      testEnv.DB,
      totals.map(([version, accountId, count]) => ({ model: "acme/totals", version, accountId, count })),
    );
  const counted = async (name: string) =>
    (await findModel(testEnv.DB, { accountName: "acme" }, { owner: "acme", name }))?.runCount;
  await note([first, "a", 2], [second, "a", 3]);
  await note([first, "a", 2], [first, "b", 5]);
  await note([first, "a", 1]);
  expect(await counted("totals")).toBe(10);
  await note([first, "a", 7], [second, "a", 3]);
  expect([await counted("totals"), await counted("bystander")]).toEqual([15, 0]);
});
