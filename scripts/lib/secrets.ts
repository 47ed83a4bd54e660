/**
 * The local stack's secrets: made at random on the first start, kept in the state folder, readable by its owner only.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { StackError } from "./stack-error.ts";

const SecretsSchema = z.object({
  edgeplaneSecret: z.string(),
  adminKey: z.string(),
  kafkaUsername: z.string(),
  kafkaPassword: z.string(),
  /** Made by the edge, shown once, kept here. Null until then. */
  apiKey: z.string().nullable(),
  poolToken: z.string().nullable(),
});
export type Secrets = z.infer<typeof SecretsSchema>;

const random = () => randomBytes(24).toString("base64url");

/** Reads the secrets of `stateDir`, or makes them. Throws `StackError` when they are there and can't be read. */
export function loadSecrets(stateDir: string): Secrets {
  const path = secretsPath(stateDir);
  if (existsSync(path)) {
    try {
      return SecretsSchema.parse(JSON.parse(readFileSync(path, "utf8")));
    } catch {
      throw new StackError(
        `${path} can't be read, or is damaged: restore it, or delete the folder ${stateDir} to begin anew.`,
      );
    }
  }
  const made = { edgeplaneSecret: random() + random(), adminKey: `ep_admin_${random()}` };
  const secrets = { ...made, kafkaUsername: "dev", kafkaPassword: random(), apiKey: null, poolToken: null };
  saveSecrets(stateDir, secrets);
  return secrets;
}

/** A disk that is full leaves what was there. */
export function saveSecrets(stateDir: string, secrets: Secrets): void {
  const path = secretsPath(stateDir);
  writeFileSync(`${path}.new`, JSON.stringify(secrets, null, 2), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function secretsPath(stateDir: string): string {
  return join(stateDir, "secrets.json");
}
