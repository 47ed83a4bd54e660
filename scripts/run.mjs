/** `node scripts/run.mjs <verb> [arguments]`: installs what is missing and runs `scripts/<verb>.ts` under Node 24. Any Node from 20 on starts it. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { constants } from "node:os";
import { ensureInstalled, fail, modernNode, root, toolEnv } from "./lib/bootstrap.mjs";

const [verb = "", ...args] = process.argv.slice(2);
const script = join(root, "scripts", `${verb}.ts`);
if (!/^[a-z-]+$/.test(verb) || !existsSync(script)) fail(`there is no script ${JSON.stringify(verb)} in scripts/.`);
await ensureInstalled();

const child = spawn(modernNode(), ["--disable-warning=ExperimentalWarning", script, ...args], {
  cwd: root,
  env: toolEnv(),
  stdio: "inherit",
});
let hasHeard = false;
function handOn(signal) {
  hasHeard = true;
  child.kill(signal);
}
// A terminal's Ctrl-C reaches the child by itself; a signal sent to this process alone must be handed on.
process.on("SIGINT", () => {
  if (process.stdin.isTTY) hasHeard = true;
  else handOn("SIGINT");
});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => handOn(signal));
// npm answers a signal by ending its shell, and neither hands it on: who lost the parent that npm gave it is meant, once.
if (process.env.npm_lifecycle_event !== undefined) {
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    if (!hasHeard) handOn("SIGTERM");
  }, 200).unref();
}
child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal ?? "SIGTERM"] ?? 15)));
child.on("error", (error) => fail(`could not start Node: ${error.message}`));
