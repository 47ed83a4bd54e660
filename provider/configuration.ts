/**
 * The service's file of provider entries: which accounts, at which providers, for which hardware. Keys of providers
 * stand in files or in the environment, never in it.
 */
import { readFileSync } from "node:fs";
import * as z from "zod";
import { ProviderNameSchema } from "../src/contract/provider.ts";
import { CommandSchema } from "./providers/command.ts";
import { LocalSchema } from "./providers/local.ts";
import { RunpodSchema } from "./providers/runpod.ts";
import { VastSchema } from "./providers/vast.ts";
import { defaultTimes } from "./reconciler.ts";

const EntryFields = {
  name: ProviderNameSchema,
  /** What names of its machines begin with. Two gateways, or entries, that rent at one account need one each. */
  prefix: z
    .string()
    .regex(/^[a-z0-9-]{1,40}-$/, "must be lower-case letters, digits and hyphens, and end with a hyphen")
    .default("edgeplane-"),
  /** For how long after an answer that says nothing the list is read before another create. */
  settleMs: z.int().min(1000).max(600_000).optional(),
  /** From an order to the pool's hello: the gateway's estimate until it has seen some. */
  expectedBootS: z.number().positive().max(86_400).optional(),
  /** A balance below it is warned of, in the account's currency. */
  lowBalance: z.number().nonnegative().optional(),
};
const KeyFields = {
  apiKeyFile: z.string().min(1).optional(),
  apiKeyEnv: z
    .string()
    .regex(/^[A-Z][A-Z0-9_]*$/)
    .optional(),
};

const EntrySchema = z.discriminatedUnion("kind", [
  LocalSchema.extend({ ...EntryFields, kind: z.literal("local") }),
  CommandSchema.extend({ ...EntryFields, kind: z.literal("command") }),
  RunpodSchema.extend({ ...EntryFields, ...KeyFields, kind: z.literal("runpod") }),
  VastSchema.extend({ ...EntryFields, ...KeyFields, kind: z.literal("vast") }),
]);
export type EntryConfiguration = z.infer<typeof EntrySchema>;

const ConfigurationSchema = z
  .strictObject({ $schema: z.string().optional(), providers: z.array(EntrySchema).min(1).max(50) })
  .superRefine(({ providers }, context) => {
    providers.forEach(({ name }, index) => {
      if (providers.findIndex((other) => other.name === name) === index) return;
      context.addIssue({ code: "custom", message: `${name} is there twice`, path: ["providers", index, "name"] });
    });
  });

/** Times of a kind, over the defaults: a list of this machine costs nothing, and Vast makes one instance at a time. */
export const timesOf = ({ kind, settleMs }: EntryConfiguration) => ({
  ...defaultTimes,
  ...(kind === "local"
    ? { settleMs: 1000, refusedMs: 5000, listMs: 1000, busyListMs: 250, soonListMs: 50, offersMs: 5000 }
    : {}),
  ...(kind === "vast" ? { maxCreates: 1, soonListMs: 5000 } : {}),
  ...(settleMs === undefined ? {} : { settleMs }),
});

/** What a machine of a kind takes to boot, unless the entry says otherwise. */
export const expectedBootOf = ({ kind, expectedBootS }: EntryConfiguration): number =>
  expectedBootS ?? { local: 5, command: 120, runpod: 120, vast: 240 }[kind];

/** The configuration can't be read, or is wrong; the message says where, and how to mend it. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}

export function readConfiguration(file: string): EntryConfiguration[] {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new ConfigurationError(`${file} can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  const parsed = ConfigurationSchema.safeParse(json);
  if (parsed.success) return parsed.data.providers;
  const [issue] = parsed.error.issues;
  throw new ConfigurationError(`${file}: ${issue?.path.join(".") || "it"}: ${issue?.message}`);
}

/** The key of an entry's account. Throws `ConfigurationError`. */
export function readKey(
  entry: { name: string; apiKeyFile?: string | undefined; apiKeyEnv?: string | undefined },
  env: Record<string, string | undefined>,
): string {
  const { name, apiKeyFile: file, apiKeyEnv: variable } = entry;
  if ((file === undefined) === (variable === undefined))
    throw new ConfigurationError(`${name}: give its key by apiKeyFile or by apiKeyEnv, one of them`);
  let key = "";
  try {
    key = (file === undefined ? (env[variable ?? ""] ?? "") : readFileSync(file, "utf8")).trim();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigurationError(`${name}: apiKeyFile ${file} can't be read: ${why}`);
  }
  const where = file === undefined ? `the variable ${variable}` : file;
  if (!/^[\x21-\x7e]+$/.test(key)) throw new ConfigurationError(`${name}: ${where} holds no key`);
  return key;
}

/** Two entries with one account and one prefix would each return what the other rents. Throws `ConfigurationError`. */
export function refuseSharedAccounts(
  entries: readonly EntryConfiguration[],
  env: Record<string, string | undefined>,
): void {
  const names = new Map<string, string>();
  for (const entry of entries) {
    const { kind, name, prefix } = entry;
    if (kind !== "runpod" && kind !== "vast") continue;
    const account = JSON.stringify([kind, new URL(entry.baseUrl).href, readKey(entry, env), prefix]);
    const other = names.get(account);
    if (other !== undefined)
      throw new ConfigurationError(
        `${other} and ${name} rent at one account and would return each other's machines: ` +
          "give one of them a prefix of its own",
      );
    names.set(account, name);
  }
}
