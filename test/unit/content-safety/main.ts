/**
 * The evasion test at length: other seeds than the one of the unit test, with a table by way of hiding.
 *
 *     node test/unit/content-safety/main.ts [--evasions 300000] [--seed 2] [--show]
 *
 * `--show` prints what was missed, of terms that are not held out.
 */
import { parseArgs } from "node:util";
import { countAlarms, countMisses, corpus, rulesOfTerms } from "./evasion-run.ts";
import type { Tally } from "./evasion-run.ts";
import { ways } from "./evasions.ts";

const MAX_MISSED = 0.01;
const MAX_ALARMS = 0.001;

const { values } = parseArgs({
  options: {
    evasions: { type: "string", default: "300000" },
    seed: { type: "string", default: "2" },
    show: { type: "boolean", default: false },
  },
});
const rules = rulesOfTerms(true);
let failed = 0;

function check(name: string, count: number, of: number, limit: number): void {
  const isMet = count / of <= limit;
  if (!isMet) failed += 1;
  console.log(
    `${isMet ? "ok  " : "FAIL"} ${name}: ${count} of ${of} (${((count / of) * 100).toFixed(3)} %; at most ${limit * 100} %)`,
  );
}

const { tuned, heldOut } = countMisses(rules, Number(values.evasions), Number(values.seed));
const missedBy = (tally: Tally): string =>
  ways.map((way) => `${way} ${tally.missed.filter((one) => one.way === way).length}`).join(", ");
check("missed evasions", tuned.missed.length, tuned.tried, MAX_MISSED);
console.log(`     ${missedBy(tuned)}`);
check("missed evasions of held-out terms", heldOut.missed.length, heldOut.tried, MAX_MISSED);
console.log(`     ${missedBy(heldOut)}`);
if (values.show) for (const { way, term, hidden } of tuned.missed) console.log(way, term, JSON.stringify(hidden));
for (const name of ["speeches.en", "everyday.en", "everyday.zh"] as const) {
  const sentences = corpus(name);
  const alarms = countAlarms(rules, sentences);
  check(`false alarms in ${name}`, alarms.false.length, sentences.length, MAX_ALARMS);
  console.log(`     ${alarms.plain} more sentences have a term of the list, plainly`);
}
console.log(`${5 - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
