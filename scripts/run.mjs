/**
 * `node scripts/run.mjs <verb> [arguments]`: installs what is missing and runs `scripts/<verb>.ts` under Node 24. Any
 * Node from 20 on starts it.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ensureInstalled, fail, root, runUnder } from "./lib/bootstrap.mjs";

const [verb = "", ...args] = process.argv.slice(2);
const script = join(root, "scripts", `${verb}.ts`);
if (!/^[a-z-]+$/.test(verb) || !existsSync(script)) fail(`there is no script ${JSON.stringify(verb)} in scripts/.`);
await ensureInstalled();
runUnder(script, args, root);
