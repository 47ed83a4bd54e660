/** The local stack's secrets: made at random on the first start, kept in the state folder, readable by its owner only. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";

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

/** Reads the secrets of `stateDir`, or makes them. */
export function loadSecrets(stateDir: string): Secrets {
  if (existsSync(secretsPath(stateDir))) {
    return SecretsSchema.parse(JSON.parse(readFileSync(secretsPath(stateDir), "utf8")));
  }
  const made = { edgeplaneSecret: random() + random(), adminKey: `ep_admin_${random()}` };
  const secrets = { ...made, kafkaUsername: "dev", kafkaPassword: random(), apiKey: null, poolToken: null };
  saveSecrets(stateDir, secrets);
  return secrets;
}

export function saveSecrets(stateDir: string, secrets: Secrets): void {
  writeFileSync(secretsPath(stateDir), JSON.stringify(secrets, null, 2), { mode: 0o600 });
}

function secretsPath(stateDir: string): string {
  return join(stateDir, "secrets.json");
}
