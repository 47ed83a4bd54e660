import { expect, it } from "vitest";
import { focusTable } from "./focus.ts";
import type { UsageGroup } from "./usage-query.ts";

const group: UsageGroup = {
  ...{
    at: Date.UTC(2026, 10, 1),
    currency: "USD",
    model: "o/n",
    key: "k",
    device: "cpu",
    deployment: "",
    phase: "run",
  },
  ...{ requests: 1, billed: 1, queuedMs: 0, runMs: 1, gpuUs: 1000, instanceUs: 0, costNano: 5, units: {} },
};

async function linesOf(table: ReadableStream<Uint8Array>): Promise<number> {
  let lines = 0;
  for await (const part of table) lines += new TextDecoder().decode(part).split("\r\n").length - 1;
  return lines;
}

it("has every sum of an account that has a great many", async () => {
  const page = Array.from({ length: 1000 }, () => group);
  const pages = 101;
  const table = focusTable("a", "day", (after) => {
    const read = Number(after?.[0] ?? 0) + 1;
    return Promise.resolve({ groups: page, next: read < pages ? [read] : null });
  });
  expect(await linesOf(table)).toBe(1 + 1000 * pages);
});

it("breaks off where a page can't be read", async () => {
  const table = focusTable("a", "day", (after) =>
    after === null ? Promise.resolve({ groups: [group], next: [1] }) : Promise.reject(new Error("away")),
  );
  await expect(linesOf(table)).rejects.toThrow("away");
});
