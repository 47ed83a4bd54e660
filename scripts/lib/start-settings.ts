/**
 * The settings of `npm start`, all from the environment, checked once; an empty variable counts as unset. Each default
 * stands here.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { StackError } from "./stack-error.ts";

const examples = fileURLToPath(new URL("../../examples", import.meta.url));

/** Origins, by commas. */
export const OriginsSchema = z
  .string()
  .default("")
  .transform((text) =>
    text
      .split(",")
      .map((origin) => origin.trim())
      .filter((origin) => origin !== ""),
  )
  .pipe(z.array(z.url({ protocol: /^https?$/, error: "addresses such as http://10.0.0.5:8790, by commas" })));

const SettingsSchema = z.object({
  PORT: z.coerce.number("a number from 0 to 65535").int().min(0).max(65_535).default(8787),
  EDGEPLANE_STATE_DIR: z.string().default(".edgeplane"),
  EDGEPLANE_MODELS: z.string().optional(),
  EDGEPLANE_ALLOW_LOOPBACK: z
    .enum(["0", "1", "false", "true"], "1 or 0")
    .default("0")
    .transform((text) => text === "1" || text === "true"),
  EDGEPLANE_OPERATOR_ORIGINS: OriginsSchema,
});

export type StartSettings = {
  port: number;
  stateDir: string;
  models: string;
  /** Whether the models are the repository's: then it is known what they take. */
  showsExamples: boolean;
  allowLoopback: boolean;
  operatorOrigins: string[];
};

/** Reads `env`. Throws `StackError`, which names the variable and how to mend it. */
export function readStartSettings(env: Readonly<Record<string, string | undefined>>): StartSettings {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  const parsed = SettingsSchema.safeParse(given);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new StackError(`${String(issue?.path[0])} is wrong: ${issue?.message} (npm start -- --help tells more).`);
  }
  const { PORT: port, EDGEPLANE_MODELS: models = examples, ...rest } = parsed.data;
  if (!hasModels(models)) {
    throw new StackError(
      `the models folder ${models} has no subfolder with a cog.yaml; name one that has with EDGEPLANE_MODELS (docs/models.md).`,
    );
  }
  return {
    port,
    models,
    stateDir: rest.EDGEPLANE_STATE_DIR,
    showsExamples: models === examples,
    allowLoopback: rest.EDGEPLANE_ALLOW_LOOPBACK,
    operatorOrigins: rest.EDGEPLANE_OPERATOR_ORIGINS,
  };
}

function hasModels(folder: string): boolean {
  try {
    return readdirSync(folder).some((name) => existsSync(join(folder, name, "cog.yaml")));
  } catch {
    return false;
  }
}
