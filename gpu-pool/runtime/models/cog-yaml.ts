/**
 * Reads a model's `cog.yaml`. The shape is the environments' (`../environments/cog-yaml.ts`); the pool adds the key
 * that only it reads.
 */
import { LineCounter, parseDocument } from "yaml";
import * as z from "zod";
import { CogYamlSchema as SharedSchema, EdgeplaneKeysSchema } from "../environments/cog-yaml.ts";

const CountSchema = z.number().int().min(1).max(64);
/** nvidia-smi's number of a device, or the id of a part of one. */
const DeviceIdSchema = z.union([z.number().int().min(0).transform(String), z.string().min(1).max(128)]);

const KeysSchema = EdgeplaneKeysSchema.extend({
  /** The most processes, and the devices that they may use. Default: one a device, on any. */
  instances: z
    .union([
      CountSchema.transform((count) => ({ count, devices: undefined })),
      z.strictObject({ count: CountSchema.optional(), devices: z.array(DeviceIdSchema).min(1).max(64).optional() }),
    ])
    .optional(),
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
