/**
 * `npm run format`: rewrites every file in the house format, docs/errors.md from the table of errors, docs/cli.md from
 * the command, and the tables of docs/plugins.md from the schemas of the plugins.
 */
import { writeCliDoc } from "./lib/cli-doc.ts";
import { runCommand } from "./lib/command.ts";
import { writeBilledDoc } from "./lib/billed-doc.ts";
import { writeErrorsDoc } from "./lib/errors-doc.ts";
import { writePluginsDoc } from "./lib/plugins-doc.ts";

const HELP = `npm run format [-- <path>…]

Rewrites all files, or those of the paths, in the house format, docs/errors.md from the table of
errors, docs/cli.md from the command, and the tables of docs/plugins.md from the plugins' schemas.`;

if (process.argv.includes("--help") || process.argv.includes("-h")) {
  console.log(HELP);
  process.exit(0);
}
writeErrorsDoc();
writeBilledDoc();
writePluginsDoc();
writeCliDoc();

const { code } = await runCommand(["oxfmt", ...process.argv.slice(2)], { echo: true });
process.exit(code);
