/** `npm run deploy`: the edge on Cloudflare, from nothing to live, or to the next release; `--help` tells more. */
import { parseArgs } from "node:util";
import { processIo } from "../cli/io.ts";
import { deploy, dryRun } from "./lib/deploy/deploy.ts";
import { DeployError } from "./lib/deploy/deploy-error.ts";
import { planDeployment } from "./lib/deploy/plan.ts";
import { createWrangler } from "./lib/deploy/wrangler.ts";
import { ensureDocsAssets } from "./lib/docs-assets.ts";
import { ACCOUNT } from "./lib/local-accounts.ts";
import { writePoolArchive } from "./lib/pool-archive.ts";
import { plainMessage } from "./lib/stack-error.ts";

const HELP = `npm run deploy: puts the edge on your Cloudflare account, or brings it to this release (docs/deploy.md).

  npm run deploy                     what wrangler.toml names
  npm run deploy -- --env plugins    the same Worker with uploaded plugins (Workers Paid plan)
  npm run deploy -- --env staging    a deployment of its own beside it: edgeplane-staging

  --env <name>      an environment of wrangler.toml, or a new one beside the first
  --dry-run         only say what would be made, and let wrangler look at it; needs no account
  --account <name>  the account of the first API key (${ACCOUNT})
  --url <origin>    where clients reach it, when that is not what wrangler.toml says: a proxy in front
  --wait <seconds>  how long to wait until it answers (180)

  CLOUDFLARE_API_TOKEN   a token, in place of \`npx wrangler login\`
  CLOUDFLARE_ACCOUNT_ID  which account, when the login has several
  EDGEPLANE_ADMIN_KEY    the operator's key, when it is not kept on this machine

It makes what is missing (database, tables, bucket, secrets, account, key, pool token), and replaces nothing but the
Worker. Run it again after a failure: it goes on where it stopped.
Exit codes: 0 done, 1 it failed, or the check did, 2 wrong use.`;

process.exitCode = await main();

async function main(): Promise<number> {
  let flags;
  try {
    flags = parseArgs({
      options: {
        env: { type: "string" },
        "dry-run": { type: "boolean", default: false },
        account: { type: "string", default: ACCOUNT },
        url: { type: "string" },
        wait: { type: "string", default: "180" },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    return wrongUse(error instanceof Error ? error.message : String(error));
  }
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  const waitMs = Number(flags.wait) * 1000;
  if (!(waitMs >= 0)) return wrongUse(`--wait ${flags.wait}: a number of seconds`);
  if (flags.url !== undefined && !/^https?:\/\/[a-z0-9.-]+(?::\d+)?$/.test(flags.url))
    return wrongUse(`--url ${flags.url}: an origin such as https://edge.example.com, without a path`);
  return act(flags, waitMs);
}

type Flags = { env?: string; "dry-run": boolean; account: string; url?: string };

async function act(flags: Flags, waitMs: number): Promise<number> {
  const io = processIo();
  const stopped = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => stopped.abort());
  const say = (line: string): void => console.log(line === "" ? "" : `deploy: ${line}`);
  try {
    const options = {
      plan: planDeployment(flags.env ?? null),
      assets: async () => {
        const folder = await ensureDocsAssets();
        await writePoolArchive(folder);
        return folder;
      },
      wranglerWith: (env: Readonly<Record<string, string>>) =>
        createWrangler({ say, env: { ...io.env, ...env }, signal: stopped.signal }),
      account: flags.account,
      url: flags.url ?? null,
      waitMs,
      io,
      say,
      signal: stopped.signal,
    };
    return await (flags["dry-run"] ? dryRun(options) : deploy(options));
  } catch (error) {
    if (stopped.signal.aborted) console.error("deploy: stopped; run it again, and it goes on where it stopped");
    else if (error instanceof DeployError) console.error(`deploy: ${error.message}\n  → ${error.remedy}`);
    else console.error(`deploy: ${plainMessage(error)}`);
    return 1;
  }
}

function wrongUse(message: string): number {
  console.error(`deploy: ${message} (--help tells more)`);
  return 2;
}
