/** `npm run format`: rewrites every file in the house format, and docs/errors.md from the table of errors. */
import { runCommand } from "./lib/command.ts";
import { writeErrorsDoc } from "./lib/errors-doc.ts";

writeErrorsDoc();

const { code } = await runCommand(["oxfmt", ...process.argv.slice(2)], { echo: true });
process.exit(code);
