/**
 * Reads a model's `cog.yaml`. The shape is the environments' (`../environments/cog-yaml.ts`); the pool adds the key
 * that only it reads.
 */
import { LineCounter, parseDocument } from "yaml";
import * as z from "zod";
import { CogYamlSchema as SharedSchema, EdgeplaneKeysSchema } from "../environments/cog-yaml.ts";

const KeysSchema = EdgeplaneKeysSchema.extend({
  /** How many processes. Default: one a device. */
  instances: z.number().int().min(1).max(64).optional(),
});

const CogYamlSchema = SharedSchema.extend({
  edgeplane: KeysSchema.nullish().transform((keys) => keys ?? KeysSchema.parse({})),
});
export type CogYaml = z.infer<typeof CogYamlSchema>;

/** Reads the text of a `cog.yaml`. Throws an error that names the line or the field. */
export function parseCogYaml(text: string): CogYaml {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [problem] = document.errors;
  if (problem !== undefined)
    throw new Error(`cog.yaml, line ${lines.linePos(problem.pos[0]).line}: ${problem.message}`);
  const parsed = CogYamlSchema.safeParse(document.toJS({ maxAliasCount: 100 }) ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`cog.yaml, ${issue?.path.join(".") || "top level"}: ${issue?.message ?? "not valid"}`);
}
