/** Reads what a model's folder says of it: `cog.yaml`, and `edgeplane.yaml` beside it in place of its section. */
import { LineCounter, parseDocument } from "yaml";
import type * as z from "zod";
import { CogYamlSchema } from "../environments/cog-yaml.ts";
import type { CogYaml } from "../environments/cog-yaml.ts";
import { EdgeplaneKeysSchema } from "../environments/edgeplane-keys.ts";

/** Reads the text of a `cog.yaml`. Throws an error that names the line or the field. */
export function parseCogYaml(text: string): CogYaml {
  return checked("cog.yaml", CogYamlSchema, valueOf("cog.yaml", text));
}

/** The same with an `edgeplane.yaml` beside it. Throws as well where `cog.yaml` has the section, too. */
export function parseWithEdgeplaneYaml(text: string, edgeplane: string): CogYaml {
  const value = valueOf("cog.yaml", text);
  if (typeof value === "object" && "edgeplane" in value && value.edgeplane !== null)
    throw new Error("edgeplane.yaml lies beside a cog.yaml that has the section edgeplane: keep one of them");
  const keys = checked("edgeplane.yaml", EdgeplaneKeysSchema, valueOf("edgeplane.yaml", edgeplane));
  return { ...checked("cog.yaml", CogYamlSchema, value), edgeplane: keys };
}

/** An empty file is one without keys. */
function valueOf(file: string, text: string): object {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [problem] = document.errors;
  if (problem !== undefined) throw new Error(`${file}, line ${lines.linePos(problem.pos[0]).line}: ${problem.message}`);
  const value: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  if (typeof value !== "object" || value === null) throw new Error(`${file}: it must hold keys and their values`);
  return value;
}

function checked<T extends z.ZodType>(file: string, schema: T, value: unknown): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`${file}, ${issue?.path.join(".") || "top level"}: ${issue?.message ?? "not valid"}`);
}
