/** Runs parts of the tests one after another and counts what passed and failed in each. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { accessSync, constants } from "node:fs";
import * as z from "zod";
import type { Part } from "../ci/parts.ts";
import { runCommand } from "./command.ts";

export type PartResult = { name: string; passed: number; failed: number; seconds: number; note: string };

const VitestSchema = z.looseObject({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  success: z.boolean(),
});

/** Runs `part` with `args` added and its output shown; a part that can't run counts as one failure. */
export async function runPart(part: Part, args: readonly string[] = []): Promise<PartResult> {
  console.log(`\n── ${part.name}`);
  const missing = part.needs.filter((program) => !isOnPath(program));
  if (missing.length > 0) return outcome(part, 0, 1, 0, `missing: ${missing.join(", ")}`);
  return part.command[0] === "vitest" ? runVitest(part, args) : runOther(part);
}

async function runVitest(part: Part, args: readonly string[]): Promise<PartResult> {
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-test-"));
  const file = join(dir, "result.json");
  try {
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`, "--passWithNoTests"];
    const { code, seconds } = await runCommand([...part.command, ...reporters, ...args], {
      echo: true,
      timeoutMs: part.timeoutMs,
    });
    const counts = readCounts(file);
    const failed = counts === null ? 1 : counts.numFailedTests + (code !== 0 && counts.numFailedTests === 0 ? 1 : 0);
    return outcome(part, counts?.numPassedTests ?? 0, failed, seconds, code === 124 ? "ran out of time" : "");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function runOther(part: Part): Promise<PartResult> {
  const { code, output, seconds } = await runCommand(part.command, { echo: true, timeoutMs: part.timeoutMs });
  // unittest tells its counts in its last lines: "Ran 42 tests in 1.234s", "FAILED (failures=1, errors=2)".
  const ran = Number(/^Ran (\d+) tests? in/m.exec(output)?.[1] ?? 1);
  const bad = [...output.matchAll(/(?:failures|errors)=(\d+)/g)].reduce((sum, match) => sum + Number(match[1]), 0);
  const failed = code === 0 ? 0 : Math.max(1, bad);
  return outcome(part, Math.max(0, ran - failed), failed, seconds, code === 124 ? "ran out of time" : "");
}

function outcome(part: Part, passed: number, failed: number, seconds: number, note: string): PartResult {
  return { name: part.name, passed, failed, seconds, note };
}

function readCounts(file: string): z.infer<typeof VitestSchema> | null {
  try {
    return VitestSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return null;
  }
}

function isOnPath(program: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** One line a part, for the end of a run. */
export function summaryLine({ name, passed, failed, seconds, note }: PartResult): string {
  const mark = failed === 0 ? "ok  " : "FAIL";
  const counts = `${passed} passed, ${failed} failed`;
  return `${mark} ${name.padEnd(24)} ${counts.padEnd(24)} ${seconds.toFixed(0).padStart(4)} s${note === "" ? "" : `  ${note}`}`;
}

/** The exit code of a run whose parts came out like this, after its last, plain line. */
export function conclude(results: readonly PartResult[]): number {
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  const failed = results.reduce((sum, result) => sum + result.failed, 0);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}
