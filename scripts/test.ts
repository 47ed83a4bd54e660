/**
 * `npm test`: all tests that need no engine but what it installs. `npm test -- <filter>` hands the filter to Vitest and runs the first
 * part only. Ends with what was left to CI.
 */
import { parts } from "./ci/parts.ts";
import { conclude, report, runPart } from "./lib/run-parts.ts";
import type { PartResult } from "./lib/run-parts.ts";

const HELP = `npm test [-- <filter>…]

Runs all tests that need no engine but what it installs, and ends with what it left to .ci/run. With filters, parts of paths, it runs
the tests in Node and in workerd whose path has one of them, and nothing else.`;

const filters = process.argv.slice(2);
if (filters.some((filter) => filter === "--help" || filter === "-h")) {
  console.log(HELP);
  process.exit(0);
}
const here = parts.filter((part) => part.runs === "test");
const results: PartResult[] = [];
for (const part of filters.length === 0 ? here : here.slice(0, 1)) results.push(await runPart(part, filters));

const left = parts.filter(({ runs }) => runs === "ci");
report(
  results,
  left.map(({ name, engine }) => `CI   ${name}${engine === null ? "" : ` (needs ${engine})`}: left to .ci/run`),
);
process.exit(conclude(results));
