/** `npm run format`: rewrites every file in the house format. */
import { runCommand } from "./lib/command.ts";

const { code } = await runCommand(["oxfmt", ...process.argv.slice(2)], { echo: true });
process.exit(code);
