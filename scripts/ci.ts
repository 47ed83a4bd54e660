/**
 * What `.ci/run` runs once the engines are there: the README's test command first, then every part that it leaves to
 * CI, two at a time, and alone those that measure times. `--needs` only names the programs that the parts need.
 */
import { parts, SIDE_BY_SIDE } from "./ci/parts.ts";
import type { Part } from "./ci/parts.ts";
import { conclude, failuresTold, report, runParts, timeoutNote } from "./lib/run-parts.ts";
import type { PartResult } from "./lib/run-parts.ts";
import { runCommand } from "./lib/command.ts";

const HELP = `.ci/run, or node scripts/run.mjs ci

Runs npm test and then every part of scripts/ci/parts.ts that needs an engine or much time; .ci/run installs the engines first (Debian, Ubuntu).

  --needs  only name the programs that the parts need

Exit codes: 0 all passed, 1 something failed or an engine is missing, 2 an option is wrong.`;

if (process.argv.includes("--help") || process.argv.includes("-h")) {
  console.log(HELP);
  process.exit(0);
}
if (process.argv.includes("--needs")) {
  console.log([...new Set(parts.flatMap(({ needs }) => needs))].join("\n"));
  process.exit(0);
}

const unknown = process.argv.slice(2);
if (unknown.length > 0) {
  console.error(`ci: there is no option ${unknown.join(" ")} (--help names them)`);
  process.exit(2);
}

const TEST_LIMIT_MS = 30 * 60_000;

async function npmTest(): Promise<PartResult> {
  console.log("── npm test");
  const { code, output, seconds } = await runCommand(["npm", "test"], { echo: true, timeoutMs: TEST_LIMIT_MS });
  const [, passed = "0", failed = "1"] = [...output.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1) ?? [];
  const failures = code === 0 ? 0 : Math.max(1, Number(failed));
  return {
    name: "npm test",
    passed: Number(passed),
    failed: failures,
    seconds,
    note: timeoutNote(code),
    failures: failuresTold(output),
  };
}

const others = parts.filter(({ runs }) => runs === "ci");
const measuring = (what: Part["measures"]) => others.filter(({ measures }) => measures === what);
const results = [
  await npmTest(),
  ...(await runParts(measuring(undefined), SIDE_BY_SIDE)),
  ...(await runParts(measuring("amounts"), SIDE_BY_SIDE)),
  ...(await runParts(measuring("times"), 1)),
];
report(results);
process.exit(conclude(results));
