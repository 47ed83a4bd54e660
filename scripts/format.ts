/** `npm run format`: rewrites every file in the house format, and docs/errors.md from the table of errors. */
import { runCommand } from "./lib/command.ts";
import { writeErrorsDoc } from "./lib/errors-doc.ts";

const HELP = `npm run format [-- <path>…]

Rewrites all files, or those of the paths, in the house format, and docs/errors.md from the table of errors.`;

if (process.argv.includes("--help") || process.argv.includes("-h")) {
  console.log(HELP);
  process.exit(0);
}
writeErrorsDoc();

const { code } = await runCommand(["oxfmt", ...process.argv.slice(2)], { echo: true });
process.exit(code);
