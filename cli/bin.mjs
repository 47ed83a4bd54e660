#!/usr/bin/env node
/** `edgeplane`: installs what is missing and runs the command under Node 24. Any Node from 20 on starts it. */
import { fileURLToPath } from "node:url";
import { ensureInstalled, runUnder } from "../scripts/lib/bootstrap.mjs";

await ensureInstalled();
// What Node makes of the TypeScript is kept: half of a start is that.
process.env["NODE_COMPILE_CACHE"] ??= fileURLToPath(new URL("../node_modules/.cache/edgeplane/node", import.meta.url));
runUnder(fileURLToPath(new URL("main.ts", import.meta.url)), process.argv.slice(2), process.cwd());
