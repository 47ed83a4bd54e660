/** Builds the Worker as `wrangler deploy` would and weighs it, gzipped, against the budget. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { runCommand } from "./command.ts";

const BUDGET_BYTES = 1024 * 1024;

/** Dry-runs the deployment: code 0 and one line with the size, or what went wrong. */
export async function checkBundle(budgetBytes = BUDGET_BYTES): Promise<{ code: number; output: string }> {
  const outdir = mkdtempSync(join(tmpdir(), "edgeplane-bundle-"));
  try {
    const built = await runCommand(["wrangler", "deploy", "--dry-run", "--outdir", outdir], {
      env: { WRANGLER_SEND_METRICS: "false", CI: "1", WRANGLER_LOG_PATH: join(outdir, "log") },
    });
    if (built.code !== 0) return { code: built.code, output: built.output };
    const sizeBytes = gzippedBytes(outdir);
    const line = `${(sizeBytes / 1024).toFixed(0)} KiB gzipped of ${(budgetBytes / 1024).toFixed(0)} KiB`;
    return sizeBytes > budgetBytes
      ? { code: 1, output: `The bundle is over its budget: ${line}.\n` }
      : { code: 0, output: line };
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
}

function gzippedBytes(dir: string): number {
  const files = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isFile());
  const shipped = files.filter((file) => !file.name.endsWith(".map") && !file.name.endsWith(".md"));
  return shipped.reduce((sum, file) => sum + gzipSync(readFileSync(join(dir, file.name)), { level: 9 }).length, 0);
}
