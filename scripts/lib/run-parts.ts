/** Runs parts of the tests, alone or side by side, and counts what passed and failed in each. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { accessSync, constants } from "node:fs";
import * as z from "zod";
import type { Part } from "../ci/parts.ts";
import { runCommand } from "./command.ts";
import { createTurns } from "./turns.ts";

export type PartResult = {
  name: string;
  passed: number;
  failed: number;
  seconds: number;
  note: string;
  /** What failed and why, a text for each. */
  failures: readonly string[];
};

/** Of what a failure says, so much is told again at the end. */
const FAILURE_CHARS = 1500;

const VitestSchema = z.looseObject({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  testResults: z.array(
    z.looseObject({
      name: z.string(),
      message: z.string(),
      assertionResults: z.array(
        z.looseObject({ fullName: z.string(), status: z.string(), failureMessages: z.array(z.string()).nullish() }),
      ),
    }),
  ),
});
type VitestReport = z.infer<typeof VitestSchema>;

type Say = (text: string) => void;

const toTerminal: Say = (text) => void process.stdout.write(text);

/**
 * Runs `parts`, `sideBySide` at once, begun in their order; answers in that order. What each says is shown whole, one
 * part after the other; the first that still runs is shown as it speaks.
 */
export async function runParts(parts: readonly Part[], sideBySide: number, write = toTerminal): Promise<PartResult[]> {
  const open = createTurns(write);
  const results: PartResult[] = [];
  const left = parts.entries();
  async function runNext(): Promise<void> {
    for (const [index, part] of left) {
      const voice = open();
      results[index] = await runPart(part, [], voice.say);
      voice.end();
    }
  }
  await Promise.all(Array.from({ length: sideBySide }, runNext));
  return results;
}

/** Runs `part` with `args` added; `say` hears its output. A part that can't run counts as one failure. */
export async function runPart(part: Part, args: readonly string[] = [], say = toTerminal): Promise<PartResult> {
  say(`\n── ${part.name}\n`);
  const missing = part.needs.filter((program) => !isOnPath(program));
  if (missing.length > 0) {
    return { name: part.name, passed: 0, failed: 1, seconds: 0, note: `missing: ${missing.join(", ")}`, failures: [] };
  }
  return part.command[0] === "vitest" ? runVitest(part, args, say) : runOther(part, say);
}

async function runVitest(part: Part, args: readonly string[], say: Say): Promise<PartResult> {
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-test-"));
  const file = join(dir, "result.json");
  try {
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`, "--passWithNoTests"];
    const { code, seconds } = await runCommand([...part.command, ...reporters, ...args], {
      echo: say,
      timeoutMs: part.timeoutMs,
    });
    const report = readReport(file);
    const failedTests = report?.numFailedTests ?? 1;
    return {
      name: part.name,
      passed: report?.numPassedTests ?? 0,
      failed: code !== 0 && failedTests === 0 ? 1 : failedTests,
      seconds,
      note: timeoutNote(code),
      failures: report === null ? [] : failuresOf(report),
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function runOther(part: Part, say: Say): Promise<PartResult> {
  const { code, output, seconds } = await runCommand(part.command, { echo: say, timeoutMs: part.timeoutMs });
  // unittest tells its counts in its last lines: "Ran 42 tests in 1.234s", "FAILED (failures=1, errors=2)".
  const ran = Number(/^Ran (\d+) tests? in/m.exec(output)?.[1] ?? 1);
  const bad = [...output.matchAll(/(?:failures|errors)=(\d+)/g)].reduce((sum, match) => sum + Number(match[1]), 0);
  const failed = code === 0 ? 0 : Math.max(1, bad);
  const failures = failed === 0 ? [] : [output.trimEnd().slice(-FAILURE_CHARS)];
  return { name: part.name, passed: Math.max(0, ran - failed), failed, seconds, note: timeoutNote(code), failures };
}

/** What the summary says of a part that ended with `code`. */
export function timeoutNote(code: number): string {
  return code === 124 ? "ran out of time" : "";
}

function readReport(file: string): VitestReport | null {
  try {
    return VitestSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return null;
  }
}

/** Each failed test with what it said, and each file that failed by itself. */
function failuresOf({ testResults }: VitestReport): string[] {
  return testResults.flatMap(({ name, message, assertionResults }) => {
    const file = relative(process.cwd(), name);
    const failed = assertionResults.filter(({ status }) => status === "failed");
    const tests = failed.map(({ fullName, failureMessages }) => {
      const lines = (failureMessages ?? []).flatMap((text) => text.split("\n"));
      const own = lines.filter((line) => !/^\s+at .*node_modules|<anonymous>\)$/.test(line));
      return `${file}: ${fullName}\n${own.join("\n")}`.slice(0, FAILURE_CHARS);
    });
    return message === "" ? tests : [`${file}\n${message}`.slice(0, FAILURE_CHARS), ...tests];
  });
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

/**
 * The end of a run: a line for each part, the lines of `left`, and once more what failed, so that the last lines of a
 * long run say why it is red.
 */
export function report(results: readonly PartResult[], left: readonly string[] = []): void {
  const failures = results.flatMap(({ name, failures: texts }) =>
    texts.map((text) => `\n── failed in ${name}\n${text}`),
  );
  const end = failures.length === 0 ? [] : [""];
  for (const line of ["", ...results.map(summaryLine), ...left, ...failures, ...end]) console.log(line);
}

/** What a run whose output this is has reported as failed. */
export function failuresTold(output: string): string[] {
  return [...output.matchAll(/^── failed in (.*?)(?=\n\n── failed in |\n\n\d+ passed, \d+ failed$)/gms)].map(
    ([, text = ""]) => text,
  );
}

function summaryLine({ name, passed, failed, seconds, note }: PartResult): string {
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
