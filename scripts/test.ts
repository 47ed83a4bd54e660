/**
 * `npm test`: the tests that need no engine but what it installs, and little time; ends with what was left to CI.
 * `npm test -- <part of a path>…`: those whose path has it, also where they take long.
 */
import { parts, SIDE_BY_SIDE } from "./ci/parts.ts";
import type { Part } from "./ci/parts.ts";
import { conclude, report, runPart, runParts } from "./lib/run-parts.ts";

const HELP = `npm test [-- <part of a path>…]

Runs the tests that need no engine but what it installs, and ends with what it left to .ci/run: what needs an engine, or
takes long. With parts of paths, such as src/lane or pool/run.test.ts, it runs the tests whose path has one, those that
take long included, and nothing else.`;

const paths = process.argv.slice(2);
if (paths.some((path) => path === "--help" || path === "-h")) {
  console.log(HELP);
  process.exit(0);
}
const here = parts.filter((part) => part.runs === "test");
if (paths.length > 0) {
  // One Vitest for all projects: each that has none of these tests starts nothing.
  const takeLong = parts.filter(({ name }) => name.endsWith(", at length"));
  const chosen: Part = { ...onlyVitest([...here, ...takeLong]), name: paths.join(" ") };
  const result = await runPart(chosen, paths);
  if (result.passed + result.failed === 0) console.log(`No test's path has ${paths.join(" or ")} in it.`);
  report([result]);
  process.exit(conclude([result]));
}

const left = parts.filter(({ runs }) => runs === "ci");
const results = await runParts(here, SIDE_BY_SIDE);
report(
  results,
  left.map(({ name, engine }) => `CI   ${name}${engine === null ? "" : ` (needs ${engine})`}: left to .ci/run`),
);
process.exit(conclude(results));

/** The parts as one. */
function onlyVitest(all: readonly Part[]): Omit<Part, "name"> {
  return {
    runs: "test",
    engine: null,
    needs: [],
    command: [
      "vitest",
      "run",
      ...all.flatMap(({ command }) => command.filter((word) => word.startsWith("--project="))),
    ],
    timeoutMs: Math.max(...all.map(({ timeoutMs }) => timeoutMs)),
  };
}
