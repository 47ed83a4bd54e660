/**
 * Holds the table that usage is exported as against FinOps's own validator of FOCUS: `node test/focus/check.ts`. Of its
 * rules two contradict each other whatever a table says (an invoice's id must be null, and must not be null): one of
 * them fails.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { focusTable } from "../../src/metering/focus.ts";
import type { UsageGroup } from "../../src/metering/usage-query.ts";

const VERSION = "1.2.0.1";
const CONTRADICTED = "InvoiceId-C-005-C";
/** The rest is about what Edgeplane doesn't sell: commitments, zones, negotiated prices. */
const CRITERIA = [
  "ACCOUNT_NAMING_SUPPORTED",
  "USAGE_MEASUREMENT_SUPPORTED",
  "UNIT_PRICING_SUPPORTED",
  "SUB_ACCOUNT_SUPPORTED",
  "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED",
  "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
  "TAGGING_SUPPORTED",
];
/** What it passed when this was written; a validator that skips all would pass anything. */
const LEAST_PASSED = 200;

const run: UsageGroup = {
  ...{ at: Date.UTC(2026, 10, 29), currency: "USD", model: "acme/sdxl", key: "key-1", device: "NVIDIA A100" },
  ...{ deployment: "", phase: "run", requests: 3, billed: 2, queuedMs: 1, runMs: 2, gpuUs: 1_500_000, instanceUs: 0 },
  ...{ costNano: 1_250_000, units: { image_count: 3 } },
};
const groups: UsageGroup[] = [
  run,
  {
    ...run,
    ...{ currency: "", key: "", phase: "idle", gpuUs: 0, instanceUs: 5000, costNano: 0, deployment: "acme/d" },
  },
  { ...run, costNano: -5, gpuUs: -10, model: 'a "quoted", =model', units: {} },
];

const dir = mkdtempSync(join(tmpdir(), "edgeplane-focus-"));
try {
  const path = join(dir, "usage.csv");
  const table = focusTable("acme", "day", () => Promise.resolve({ groups, next: null }));
  writeFileSync(path, await new Response(table).text());
  const args = ["--data-file", path, "--validate-version", VERSION, "--block-download", "--show-violations"];
  const options = { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 } as const;
  const told = execFileSync("focus-validator", [...args, "--applicability-criteria", CRITERIA.join(",")], options);
  const failed = [...told.matchAll(/^❌ ([\w-]+): FAIL.*$/gm)].filter(([, rule]) => rule !== CONTRADICTED);
  const passed = Number(/^Total: \d+ \| Pass: (\d+)/m.exec(told)?.[1] ?? 0);
  for (const [line] of failed) console.log(line);
  console.log(`FOCUS ${VERSION}: ${passed} rules passed, ${failed.length} failed`);
  if (failed.length > 0 || passed < LEAST_PASSED) process.exitCode = 1;
} finally {
  rmSync(dir, { recursive: true, force: true });
}
