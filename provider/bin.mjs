#!/usr/bin/env node
/** `edgeplane-provider`: installs what is missing and runs the service under Node 24. Any Node from 20 on starts it. */
import { fileURLToPath } from "node:url";
import { ensureInstalled, runUnder } from "../scripts/lib/bootstrap.mjs";

await ensureInstalled();
runUnder(fileURLToPath(new URL("main.ts", import.meta.url)), process.argv.slice(2), process.cwd());
