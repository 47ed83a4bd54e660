/**
 * The steps of a deployment that wrangler takes: who is logged in, the tables, the secrets that are there, the upload.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { DeployError } from "./deploy-error.ts";
import { explain } from "./explain.ts";
import type { Plan } from "./plan.ts";
import type { Wrangler } from "./wrangler.ts";

const LoginSchema = z.looseObject({
  loggedIn: z.literal(true),
  accounts: z.array(z.looseObject({ id: z.string(), name: z.string() })),
});
const SecretsSchema = z.array(z.looseObject({ name: z.string() }));
const DeployedSchema = z.looseObject({ type: z.literal("deploy"), targets: z.array(z.string()) });
const HOST = /^(?:https:\/\/)?([a-z0-9-]+(?:\.[a-z0-9-]+)+)(?: \(custom domain\b.*)?$/;

export type Account = { id: string; name: string };

/** The account that is deployed to. Throws `DeployError` when nobody is logged in, or it isn't clear which. */
export async function findAccount(wrangler: Wrangler, wanted: string | undefined): Promise<Account> {
  const ran = await wrangler.try(["whoami", "--json"]);
  if (/"loggedIn":\s*false/.test(ran.output))
    throw new DeployError(
      "nobody is logged in to Cloudflare",
      "Run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN, and run this again.",
    );
  if (ran.code !== 0) throw explain(ran.output);
  const { accounts } = LoginSchema.parse(JSON.parse(ran.stdout));
  const named = wanted === undefined ? accounts : accounts.filter(({ id }) => id === wanted);
  const [first, ...others] = named;
  if (first !== undefined && others.length === 0) return { id: first.id, name: first.name };
  const list = accounts.map(({ id, name }) => `${name} (${id})`).join(", ");
  // A token may know its account without being allowed to list it.
  if (wanted !== undefined && accounts.length === 0) return { id: wanted, name: wanted };
  if (first === undefined)
    throw new DeployError(
      wanted === undefined ? "the login has no account" : `the login has no account ${wanted}`,
      list === "" ? "Give the token an account." : `CLOUDFLARE_ACCOUNT_ID is one of: ${list}.`,
    );
  throw new DeployError("the login has several accounts", `Set CLOUDFLARE_ACCOUNT_ID to one of: ${list}.`);
}

/** Makes the database where it isn't there, and applies the migrations that it hasn't; answers how many. */
export async function bringTablesUp(
  wrangler: Wrangler,
  { database, configFile }: Plan,
  say: (line: string) => void,
): Promise<number> {
  const apply = ["d1", "migrations", "apply", database, "--remote", "--config", configFile];
  let ran = await wrangler.try(apply);
  if (/Couldn't find a D1 DB/.test(ran.output)) {
    say(`making the database ${database}`);
    await wrangler.run(["d1", "create", database, "--config", configFile]);
    ran = await wrangler.try(apply);
  }
  if (ran.code !== 0) throw explain(ran.output);
  return Number(/About to apply (\d+) migration/.exec(ran.output)?.[1] ?? 0);
}

/**
 * Makes the bucket where it isn't there. `wrangler deploy` would too, but where R2 is off, or the login may not, it
 * leaves that out and fails later for a reason that is none.
 */
export async function bringBucketUp(wrangler: Wrangler, { bucket, configFile }: Plan): Promise<void> {
  const ran = await wrangler.try(["r2", "bucket", "create", bucket, "--config", configFile]);
  if (ran.code !== 0 && !/\[code: 10004\]/.test(ran.output)) throw explain(ran.output);
}

/** The names of the Worker's secrets; null while there is no Worker. */
export async function listSecrets(wrangler: Wrangler, { configFile }: Plan): Promise<readonly string[] | null> {
  const ran = await wrangler.try(["secret", "list", "--format", "json", "--config", configFile]);
  if (ran.code === 0) return SecretsSchema.parse(JSON.parse(ran.stdout)).map(({ name }) => name);
  if (/Worker ".*" not found|\[code: 10007\]/.test(ran.output)) return null;
  throw explain(ran.output);
}

/**
 * Uploads the Worker with the files beside it and `secrets`, which come into force together; secrets that are there
 * stay. Answers the origins at which it is reached, a domain of one's own first.
 */
export async function upload(
  wrangler: Wrangler,
  { configFile }: Plan,
  assets: string,
  secrets: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-deploy-"));
  try {
    const [told, secretsFile] = [join(folder, "told"), join(folder, "secrets.json")];
    writeFileSync(secretsFile, JSON.stringify(secrets), { mode: 0o600 });
    const withSecrets = Object.keys(secrets).length === 0 ? [] : ["--secrets-file", secretsFile];
    await wrangler.run(["deploy", "--config", configFile, "--assets", assets, ...withSecrets], {
      WRANGLER_OUTPUT_FILE_PATH: told,
    });
    const lines = readFileSync(told, "utf8").trim().split("\n");
    const deployed = lines.map((line) => DeployedSchema.safeParse(JSON.parse(line))).find(({ success }) => success);
    return originsOf(deployed?.data?.targets ?? []);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The origins among what wrangler says that it deployed to (also patterns of routes, and the schedule). */
export function originsOf(targets: readonly string[]): readonly string[] {
  const hosts = targets.flatMap((target) => HOST.exec(target)?.[1] ?? []);
  return hosts.toSorted((a, b) => rankOf(a) - rankOf(b)).map((host) => `https://${host}`);
}

function rankOf(host: string): number {
  return host.endsWith(".workers.dev") ? 1 : 0;
}

/** wrangler's own look at all of it, without an account: bundle, bindings, files. */
export async function rehearse(wrangler: Wrangler, { configFile }: Plan, assets: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-deploy-"));
  try {
    const output = await wrangler.run([
      ...["deploy", "--dry-run", "--config", configFile, "--assets", assets, "--outdir", folder],
    ]);
    return /Total Upload: .*/.exec(output)?.[0] ?? "";
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
