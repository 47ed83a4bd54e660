/** `npm run check`: everything about the code that can be told without running it, side by side, with one line each. */
import { availableParallelism } from "node:os";
import { checkBilledDoc } from "./lib/billed-doc.ts";
import { checkBundle } from "./lib/bundle-size.ts";
import { checkCliDoc } from "./lib/cli-doc.ts";
import { runCommand } from "./lib/command.ts";
import { checkErrorsDoc } from "./lib/errors-doc.ts";
import { checkPluginsDoc } from "./lib/plugins-doc.ts";
import { checkProseWidth } from "./lib/prose-width.ts";

type Check = { name: string; run: () => Promise<{ code: number; output: string }> };

/**
 * Go's garbage collector takes a third of the time of the types. Where memory is plenty, it waits until so much is
 * used (https://go.dev/doc/gc-guide); they need 2.5 GB.
 */
const PLENTY_BYTES = 10 * 2 ** 30;
const collectsLate = process.availableMemory() >= PLENTY_BYTES ? { GOGC: "off", GOMEMLIMIT: "6GiB" } : {};

const command = (name: string, ...args: string[]): Check => ({
  name,
  run: () => runCommand(args, { env: collectsLate }),
});

/** The slowest first, so that they share the time. */
const checks: Check[] = [
  command("lint and types", "oxlint", "--type-check"),
  { name: "bundle", run: () => checkBundle() },
  command("unused", "knip", "--no-progress"),
  command("format", "oxfmt", "--check"),
  { name: "command's page", run: () => Promise.resolve(checkCliDoc()) },
  { name: "billed table", run: () => Promise.resolve(checkBilledDoc()) },
  { name: "errors page", run: () => Promise.resolve(checkErrorsDoc()) },
  { name: "plugins page", run: () => Promise.resolve(checkPluginsDoc()) },
  { name: "width of prose", run: () => Promise.resolve(checkProseWidth()) },
  command("python 3.8 syntax", "python3", "scripts/lib/python-syntax.py"),
];

const HELP = `npm run check [-- <name>…]

Checks the code without running it, several checks side by side; a name, or a part of one, chooses among them:

${checks.map(({ name }) => `  ${name}`).join("\n")}

Exit codes: 0 all passed, 1 one failed, 2 there is no check of that name.`;

const only = process.argv.slice(2);
if (only.some((name) => name === "--help" || name === "-h")) {
  console.log(HELP);
  process.exit(0);
}
const unknown = only.filter((name) => !checks.some((check) => check.name.includes(name)));
if (unknown.length > 0) {
  console.error(`check: there is no check ${unknown.join(", ")} (--help names them)`);
  process.exit(2);
}
const queue = checks.filter((check) => only.length === 0 || only.some((name) => check.name.includes(name)));
const startedAt = performance.now();
const failed: string[] = [];

async function work(): Promise<void> {
  for (let check = queue.shift(); check !== undefined; check = queue.shift()) {
    const from = performance.now();
    const { code, output } = await check.run();
    const seconds = ((performance.now() - from) / 1000).toFixed(1).padStart(5);
    const said = output.trim();
    if (code === 0) {
      console.log(`ok   ${check.name.padEnd(20)} ${seconds} s${said.includes("\n") || said === "" ? "" : `  ${said}`}`);
    } else {
      failed.push(check.name);
      console.log(`FAIL ${check.name.padEnd(20)} ${seconds} s\n${said.replaceAll(/^/gm, "  ")}`);
    }
  }
}

await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, work));
const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
console.log(
  failed.length === 0 ? `All checks passed in ${seconds} s.` : `Failed in ${seconds} s: ${failed.join(", ")}.`,
);
process.exit(failed.length === 0 ? 0 : 1);
