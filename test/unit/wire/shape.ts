/** What a schema demands, by place: which keys must be there, and which words may stand. */
import * as z from "zod";

export type Shape = {
  /** Keys without which an object is refused (`read`), or which it always has (`said`), by the object's place. */
  read: Map<string, string[]>;
  said: Map<string, string[]>;
  /** The words of each list, by place. */
  words: Map<string, string[]>;
};

const NodeSchema = z.looseObject({
  properties: z.record(z.string(), z.unknown()).optional(),
  required: z.array(z.string()).optional(),
  items: z.unknown().optional(),
  enum: z.array(z.string()).optional(),
  anyOf: z.array(z.unknown()).optional(),
  oneOf: z.array(z.unknown()).optional(),
});
/** What tells the members of a union apart. */
const TAGS = ["type", "verdict", "outcome"];

export function shapeOf(schema: z.ZodType): Shape {
  const shape: Shape = { read: new Map(), said: new Map(), words: new Map() };
  walk(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }), "", shape.read, shape.words);
  walk(z.toJSONSchema(schema, { io: "output", unrepresentable: "any" }), "", shape.said, new Map());
  return shape;
}

function walk(value: unknown, place: string, required: Map<string, string[]>, words: Map<string, string[]>): void {
  const parsed = NodeSchema.safeParse(value);
  if (!parsed.success) return;
  const node = parsed.data;
  if (node.enum !== undefined) words.set(place, node.enum.toSorted());
  if (node.properties !== undefined) {
    required.set(place, (node.required ?? []).toSorted());
    for (const [key, property] of Object.entries(node.properties)) walk(property, `${place}.${key}`, required, words);
  }
  if (node.items !== undefined) walk(node.items, `${place}[]`, required, words);
  for (const member of [...(node.anyOf ?? []), ...(node.oneOf ?? [])]) {
    walk(member, `${place}${tagOf(member)}`, required, words);
  }
}

function tagOf(member: unknown): string {
  const { properties = {} } = NodeSchema.safeParse(member).data ?? {};
  for (const tag of TAGS) {
    const { const: name } = z.looseObject({ const: z.string().optional() }).safeParse(properties[tag]).data ?? {};
    if (name !== undefined) return `<${name}>`;
  }
  return "";
}
