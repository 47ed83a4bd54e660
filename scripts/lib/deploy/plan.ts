/**
 * What a deployment makes, from wrangler.toml: one environment of it, as a configuration of its own for wrangler. The
 * ids of databases are left out where wrangler.toml has the zeros of a fresh clone: wrangler finds a database by its
 * name, and makes a bucket that isn't there.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as wrangler from "wrangler";
import * as z from "zod";
import { DeployError } from "./deploy-error.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const NO_ID = "00000000-0000-0000-0000-000000000000";
/** What wrangler takes for a Worker's name. */
const NAME = /^[a-z0-9][a-z0-9-]{0,30}$/;

const DatabaseSchema = z.looseObject({
  database_name: z.string(),
  database_id: z.string().optional(),
  migrations_dir: z.string(),
});
const BucketSchema = z.looseObject({ bucket_name: z.string() });
const PartsSchema = z.looseObject({
  name: z.string(),
  main: z.string(),
  d1_databases: z.tuple([DatabaseSchema]),
  r2_buckets: z.tuple([BucketSchema]),
  durable_objects: z.looseObject({ bindings: z.array(z.looseObject({ class_name: z.string() })) }),
  worker_loaders: z.array(z.unknown()).default([]),
  account_id: z.string().optional(),
  vars: z.record(z.string(), z.unknown()).default({}),
});
const FileSchema = PartsSchema.extend({ env: z.record(z.string(), z.record(z.string(), z.unknown())).default({}) });

/** Its types lie in a package that wrangler doesn't bring along. */
const ReaderSchema = z.object({
  experimental_readRawConfig: z.custom<
    (args: { config: string }, options: { useRedirectIfAvailable: boolean }) => { rawConfig: unknown }
  >((value) => typeof value === "function"),
});

export type Plan = {
  /** The Worker's name. */
  name: string;
  /** The account that the file names, if it does. */
  accountId: string | undefined;
  /** The environment of `--env`; null for the one without a name. */
  environment: string | null;
  database: string;
  bucket: string;
  objectClasses: readonly string[];
  /** It has a Worker Loader, which not every plan of Cloudflare's does. */
  hasLoader: boolean;
  /** The configuration that was written for wrangler. */
  configFile: string;
};

/**
 * Reads `tomlFile` and writes the configuration of `environment` into `folder`. An environment that the file doesn't
 * name is a deployment of its own beside the first: its Worker, database and bucket have its name behind theirs. Throws
 * `DeployError` when the file doesn't hold.
 */
export function planDeployment(
  environment: string | null,
  tomlFile = join(root, "wrangler.toml"),
  folder = join(root, "node_modules/.cache/edgeplane/deploy"),
): Plan {
  const { env, ...top } = readFile(tomlFile);
  const parts = environment === null ? top : ofEnvironment(environment, top, env[environment]);
  const [database] = parts.d1_databases;
  const { database_id: id, ...unnamed } = database;
  const place = dirname(tomlFile);
  const configFile = join(folder, environment ?? "default", "wrangler.json");
  const config = {
    ...parts,
    main: resolve(place, parts.main),
    d1_databases: [
      {
        ...unnamed,
        ...(id === undefined || id === NO_ID ? {} : { database_id: id }),
        migrations_dir: resolve(place, database.migrations_dir),
      },
    ],
  };
  mkdirSync(dirname(configFile), { recursive: true });
  writeFileSync(configFile, `${JSON.stringify(config, null, 2)}\n`);
  checkByWrangler(configFile, tomlFile);
  return {
    name: parts.name,
    accountId: parts.account_id,
    environment,
    database: database.database_name,
    bucket: parts.r2_buckets[0].bucket_name,
    objectClasses: parts.durable_objects.bindings.map((binding) => binding.class_name),
    hasLoader: parts.worker_loaders.length > 0,
    configFile,
  };
}

function readFile(tomlFile: string): z.output<typeof FileSchema> {
  let raw: unknown;
  try {
    const { experimental_readRawConfig: readRawConfig } = ReaderSchema.parse(wrangler);
    raw = readRawConfig({ config: tomlFile }, { useRedirectIfAvailable: false }).rawConfig;
  } catch (error) {
    throw new DeployError(`${tomlFile} can't be read: ${firstLine(error)}`, "Mend it, or `git checkout` it.");
  }
  const parsed = FileSchema.safeParse(raw);
  if (parsed.success) return parsed.data;
  throw new DeployError(`${tomlFile} is not what it should be: ${issueOf(parsed.error)}`, "Mend it.");
}

function ofEnvironment(
  name: string,
  top: z.output<typeof PartsSchema>,
  own: Record<string, unknown> | undefined,
): z.output<typeof PartsSchema> {
  if (!NAME.test(name))
    throw new DeployError(
      `"${name}" is no name of an environment`,
      "Small letters, digits and hyphens, 31 at most: --env staging.",
    );
  const [database] = top.d1_databases;
  const { database_id: _others, ...unnamed } = database;
  const beside = {
    ...top,
    name: `${top.name}-${name}`,
    d1_databases: [{ ...unnamed, database_name: `${database.database_name}-${name}` }],
    r2_buckets: [{ ...top.r2_buckets[0], bucket_name: `${top.r2_buckets[0].bucket_name}-${name}` }],
  };
  const isBeside = (own?.["name"] ?? beside.name) !== top.name;
  const parsed = PartsSchema.safeParse({ ...beside, ...(isBeside ? ownAddress(top.vars) : {}), ...own });
  if (parsed.success) return parsed.data;
  throw new DeployError(`[env.${name}] of wrangler.toml is wrong: ${issueOf(parsed.error)}`, "Mend it.");
}

/** A deployment beside the first must not take the first one's domains away from it, nor make links to it. */
function ownAddress(vars: Record<string, unknown>) {
  return { routes: [], route: undefined, vars: { ...vars, PUBLIC_ORIGIN: "" } };
}

function checkByWrangler(configFile: string, tomlFile: string): void {
  try {
    wrangler.unstable_readConfig({ config: configFile }, { hideWarnings: true });
  } catch (error) {
    throw new DeployError(`wrangler doesn't take ${tomlFile}: ${firstLine(error)}`, "Mend what it names.");
  }
}

function issueOf(error: z.ZodError): string {
  const [issue] = error.issues;
  return `${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`;
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s+/g, " ").trim().slice(0, 300);
}
