/** `npm run plugin`: makes, tests and uploads a plugin; `npm run plugin -- --help` lists its commands. */
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { PluginCommandError, readCases, readPlugin } from "./lib/plugin-command/folder.ts";
import { initPlugin } from "./lib/plugin-command/init.ts";
import { findEdge, pushPlugin } from "./lib/plugin-command/push.ts";
import { testPlugin } from "./lib/plugin-command/test.ts";

const HELP = `Makes, tests and uploads a plugin of the gateway (docs/plugins.md).

  npm run plugin -- init <folder>   writes a plugin that works: plugin.json, plugin.ts, cases.json
  npm run plugin -- test <folder>   loads it as the edge would, and runs its cases
  npm run plugin -- push <folder>   uploads it as a version; settings switch it on

push:
  --url        of the edge         (default: the running local stack's, from .edgeplane/dev.json)
  --admin-key  the operator's key  (default: the same)

Exit codes: 0 done, 1 it failed or was refused, 2 wrong use.`;

const root = fileURLToPath(new URL("..", import.meta.url));

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  try {
    const { values, positionals } = readArguments(args);
    if (values.help === true) {
      console.log(HELP);
      return 0;
    }
    const [verb = "", named, ...rest] = positionals;
    if (named === undefined || rest.length > 0) return usage(`\`${verb}\` takes one folder`);
    // npm runs scripts in the project's folder, and tells where it was called.
    const folder = resolve(process.env["INIT_CWD"] ?? "", named);
    if (verb === "init") return init(folder);
    if (verb === "test") return await test(folder);
    if (verb === "push") return await push(folder, values.url, values["admin-key"]);
    return usage(`there is no command "${verb}"`);
  } catch (error) {
    if (!(error instanceof PluginCommandError)) throw error;
    console.error(`plugin: ${error.message}`);
    return 1;
  }
}

function readArguments(args: string[]) {
  try {
    const options = {
      url: { type: "string" },
      "admin-key": { type: "string" },
      help: { type: "boolean", short: "h" },
    } as const;
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new PluginCommandError(
      `${error instanceof Error ? error.message : String(error)} (--help names the options)`,
    );
  }
}

function usage(problem: string): number {
  console.error(`plugin: ${problem} (--help names the commands)`);
  return 2;
}

function init(folder: string): number {
  for (const file of initPlugin(folder)) console.log(`wrote ${file}`);
  console.log(`Next: npm run plugin -- test ${folder}`);
  return 0;
}

async function test(folder: string): Promise<number> {
  const cases = readCases(folder);
  const failed = await testPlugin(await readPlugin(folder), cases, ({ name, problem, ms }) =>
    console.log(problem === null ? `ok   ${name} (${ms.toFixed(1)} ms)` : `FAIL ${name}: ${problem}`),
  );
  if (failed === 0) console.log(`All passed. Next: npm run plugin -- push ${folder}`);
  return failed === 0 ? 0 : 1;
}

async function push(folder: string, url: string | undefined, adminKey: string | undefined): Promise<number> {
  const edge = findEdge(url, adminKey, join(root, ".edgeplane", "dev.json"));
  const upload = await readPlugin(folder);
  const { version, isNew } = await pushPlugin(edge, upload);
  console.log(`${upload.manifest.name} ${version} ${isNew ? "uploaded" : "was there already"}`);
  return 0;
}
