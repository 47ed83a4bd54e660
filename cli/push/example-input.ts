/** An input that a version takes, from its schema: what a first call is written with. */
import * as z from "zod";

const FieldSchema = z.looseObject({
  type: z.string().optional(),
  default: z.unknown().optional(),
  format: z.string().optional(),
  minimum: z.number().optional(),
  "x-order": z.number().optional(),
});
const DocumentSchema = z.looseObject({
  components: z.looseObject({
    schemas: z.looseObject({
      Input: z.looseObject({
        properties: z.record(z.string(), FieldSchema).default({}),
        required: z.array(z.string()).default([]),
      }),
    }),
  }),
});

/** The fields that it must have; none where the schema isn't known. */
export function exampleInput(schema: unknown): Record<string, unknown> {
  const parsed = DocumentSchema.safeParse(schema);
  if (!parsed.success) return {};
  const { properties, required } = parsed.data.components.schemas.Input;
  return Object.fromEntries(required.map((name) => [name, exampleOf(properties[name] ?? {})]));
}

function exampleOf({ type, default: usual, format, minimum }: z.infer<typeof FieldSchema>): unknown {
  if (usual !== undefined) return usual;
  if (format === "uri") return "https://example.com/file";
  if (type === "integer" || type === "number") return minimum ?? 1;
  if (type === "boolean") return true;
  if (type === "array") return [];
  if (type === "object") return {};
  return "hello";
}
