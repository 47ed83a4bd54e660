/**
 * A deployment from end to end, step by step. Every step looks at what is there and makes what is missing, so that a
 * run that was cut goes on, and a second one upgrades.
 */
import type { Io } from "../../../cli/io.ts";
import { run as runCommandLine } from "../../../cli/program.ts";
import { bringBucketUp, bringTablesUp, findAccount, listSecrets, rehearse, upload } from "./cloud.ts";
import { DeployError } from "./deploy-error.ts";
import { ensureEdgeKeys, hasPools, waitUntilUp } from "./edge.ts";
import type { EdgeKeys } from "./edge.ts";
import { keepProfile, keysFile, makeAdminKey, makeSecret, readKeys, saveKeys } from "./keys.ts";
import type { Keys } from "./keys.ts";
import type { Plan } from "./plan.ts";
import type { Wrangler } from "./wrangler.ts";

export type DeployOptions = {
  plan: Plan;
  /** Writes the files that are served beside the Worker; answers their folder. */
  assets: () => Promise<string>;
  /** Runs wrangler with these variables added. */
  wranglerWith: (env: Readonly<Record<string, string>>) => Wrangler;
  /** The account of the first key. */
  account: string;
  /** Where clients reach it, when that is not what wrangler says. */
  url: string | null;
  waitMs: number;
  io: Io;
  say: (line: string) => void;
  signal: AbortSignal;
};

const STEPS = 6;

/** Deploys; answers the exit code: 0, or 1 when it is up but its check failed. Throws `DeployError`. */
export async function deploy(options: DeployOptions): Promise<number> {
  const { plan, io, say, signal } = options;
  const step = (number: number, text: string): void => say(`[${number}/${STEPS}] ${text}`);
  step(1, "looking who is logged in");
  const account = await findAccount(options.wranglerWith({}), plan.accountId ?? io.env["CLOUDFLARE_ACCOUNT_ID"]);
  const wrangler = options.wranglerWith({ CLOUDFLARE_ACCOUNT_ID: account.id });
  const file = keysFile(io, account.id, plan.name);
  const kept = readKeys(file);

  step(2, `the tables of the database ${plan.database}, in ${account.name}`);
  const applied = await bringTablesUp(wrangler, plan, say);
  say(`      ${applied === 0 ? "they are up to date" : `${applied} migrations applied`}`);

  step(3, "secrets");
  const there = await listSecrets(wrangler, plan);
  const { keys, missing } = settleSecrets(new Set(there), kept, io.env["EDGEPLANE_ADMIN_KEY"] ?? kept?.adminKey);
  if (keys !== null && missing !== null) saveKeys(file, keys);
  say(
    `      ${missing === null ? "they are there, and stay" : `new ones go with the Worker; they are kept in ${file}`}`,
  );

  step(4, `uploading the Worker ${plan.name}, its files, its bucket ${plan.bucket}`);
  if (there === null) await bringBucketUp(wrangler, plan);
  const origins = await upload(wrangler, plan, await options.assets(), missing ?? {});
  const url = options.url ?? origins[0];
  if (url === undefined)
    throw new DeployError(
      "the Worker is deployed, but has no address of its own",
      "Set workers_dev = true or a custom domain in wrangler.toml, or say --url https://… where a route leads to it.",
    );

  step(5, `waiting until ${url} answers`);
  await waitUntilUp(url, options.waitMs, (line) => say(`      ${line}`), signal);

  step(6, "account, API key and pool token");
  if (keys === null) {
    say("      left out: the operator's key is not kept here. Set EDGEPLANE_ADMIN_KEY to have them made.");
    say(`${plan.name} is up: ${url}`);
    return 0;
  }
  const edgeKeys = await ensureEdgeKeys(url, keys, options.account);
  saveKeys(file, { ...keys, ...edgeKeysOf(edgeKeys) });
  if (edgeKeys.apiKey !== null) keepProfile(io, plan.name, { url, key: edgeKeys.apiKey, adminKey: keys.adminKey });
  say(`      ${edgeKeys.made ? `made, for the account ${options.account}` : "they are there, and stay"}`);
  const isGood = await check(options, url, edgeKeys);
  conclude({ plan, url, keys, edgeKeys, file, isFirst: keys.apiKey === null }, say);
  return isGood ? 0 : 1;
}

/**
 * Which keys belong to the Worker, and which secrets it is still to be given (null: none). It is given all of them or
 * none: a secret that came later than the others would put what was made under the old ones out of force.
 */
function settleSecrets(
  there: ReadonlySet<string>,
  kept: Keys | null,
  adminKey: string | undefined,
): { keys: Keys | null; missing: Record<string, string> | null } {
  const edgeKeys = { apiKey: kept?.apiKey ?? null, poolToken: kept?.poolToken ?? null };
  if (there.has("EDGEPLANE_SECRET")) {
    const { edgeplaneSecret, credentialSecret } = kept ?? { edgeplaneSecret: null, credentialSecret: null };
    const keys = adminKey === undefined ? null : { edgeplaneSecret, credentialSecret, adminKey, ...edgeKeys };
    return { keys, missing: null };
  }
  const all = {
    EDGEPLANE_SECRET: kept?.edgeplaneSecret ?? makeSecret(),
    CREDENTIAL_SECRET: kept?.credentialSecret ?? makeSecret(),
    ADMIN_KEY: adminKey ?? makeAdminKey(),
  };
  const keys = {
    edgeplaneSecret: all.EDGEPLANE_SECRET,
    credentialSecret: all.CREDENTIAL_SECRET,
    adminKey: all.ADMIN_KEY,
    ...edgeKeys,
  };
  return { keys, missing: Object.fromEntries(Object.entries(all).filter(([name]) => !there.has(name))) };
}

function edgeKeysOf({ apiKey, poolToken }: EdgeKeys): EdgeKeys {
  return { apiKey, poolToken };
}

/** A real prediction, where a pool is there. */
async function check({ io, say }: DeployOptions, url: string, { apiKey }: EdgeKeys): Promise<boolean> {
  if (apiKey === null || !(await hasPools(url, apiKey))) {
    say("no pool is there yet: no prediction was run");
    return true;
  }
  say("checking it, with a prediction:");
  return (await runCommandLine(io, ["--url", url, "--key", apiKey, "doctor"])) === 0;
}

type Deployed = { plan: Plan; url: string; keys: Keys; edgeKeys: EdgeKeys; file: string; isFirst: boolean };

function conclude({ plan, url, keys, edgeKeys, file, isFirst }: Deployed, say: (line: string) => void): void {
  say("");
  say(`${plan.name} is up: ${url}`);
  if (isFirst) say(`the operator's key, shown once: ${keys.adminKey}`);
  say(`all keys are kept in ${file}; back it up: nobody can read them again`);
  say(`use it: npx edgeplane --profile ${plan.name} doctor`);
  say("start a pool on a GPU host:");
  const token = isFirst ? (edgeKeys.poolToken ?? "") : "<poolToken of that file>";
  say(`  curl -fsSL ${url}/pool/install.sh | EDGEPLANE_URL=${url} EDGEPLANE_POOL_TOKEN=${token} sh`);
}

/** Says what a deployment would make, and lets wrangler look at it. Needs no account, and changes nothing. */
export async function dryRun(options: DeployOptions): Promise<number> {
  const { plan, say } = options;
  const size = await rehearse(options.wranglerWith({}), plan, await options.assets());
  say(`Worker ${plan.name} (${size}), with the files of /docs and /pool`);
  say(`D1 database ${plan.database}, R2 bucket ${plan.bucket}: made where they are not there`);
  say(`Durable Objects: ${plan.objectClasses.join(", ")}`);
  if (plan.hasLoader) say("Worker Loader, for uploaded plugins: needs the Workers Paid plan");
  say("secrets EDGEPLANE_SECRET, CREDENTIAL_SECRET, ADMIN_KEY: made where they are not there");
  say(`account ${options.account} with a key and a pool token: made the first time`);
  say("this was a dry run: nothing was changed");
  return 0;
}
