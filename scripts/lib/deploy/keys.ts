/**
 * The secrets of a deployment, in a file that its owner alone may read, beside the `edgeplane` command's settings: made
 * before they are sent, so that a run that was cut goes on with the same. The keys that were made through the edge are
 * kept there too, and as a profile of the command.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod";
import { configFile, readConfig, writeConfig } from "../../../cli/config.ts";
import type { Profile } from "../../../cli/config.ts";
import type { Io } from "../../../cli/io.ts";
import { DeployError } from "./deploy-error.ts";

const KeysSchema = z.object({
  /** Null where the Worker got them from elsewhere. */
  edgeplaneSecret: z.string().min(32).nullable(),
  credentialSecret: z.string().min(32).nullable(),
  adminKey: z.string().min(1),
  /** Made by the edge, shown once, kept here. Null until then. */
  apiKey: z.string().nullable(),
  poolToken: z.string().nullable(),
});
export type Keys = z.infer<typeof KeysSchema>;

/** `deployments/<account>-<Worker>.json` in the folder of the command's settings. */
export function keysFile(io: Io, accountId: string, worker: string): string {
  return join(dirname(configFile(io)), "deployments", `${accountId}-${worker}.json`);
}

/** What the file keeps; null when it isn't there. Throws `DeployError` when it can't be read. */
export function readKeys(file: string): Keys | null {
  if (!existsSync(file)) return null;
  try {
    return KeysSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    throw new DeployError(
      `${file} can't be read, or is damaged`,
      "Restore it from your backup. Move it away only if nothing of this deployment is to be kept.",
    );
  }
}

export const makeSecret = (): string => randomBytes(32).toString("base64url");

export function makeAdminKey(): string {
  return `ep_admin_${makeSecret()}`;
}

/** A disk that is full leaves what was there. */
export function saveKeys(file: string, keys: Keys): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.new`, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** The command finds the deployment under the Worker's name; it is the one in use where there was none. */
export function keepProfile(io: Io, name: string, profile: Profile): void {
  const { current, profiles } = readConfig(io);
  const isFirst = profiles[current] === undefined;
  writeConfig(io, { current: isFirst ? name : current, profiles: { ...profiles, [name]: profile } });
}
