/**
 * The table of built-in plugins in docs/plugins.md, made from the catalog's schemas: `npm run format` writes it, `npm
 * run check` finds it out of date.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { catalog } from "../../plugins/catalog.ts";
import type { Plugin } from "../../plugins/kernel/define-plugin.ts";

const file = fileURLToPath(new URL("../../docs/plugins.md", import.meta.url));
const BEGIN = "<!-- Made by `npm run format` from the schemas of plugins/catalog.ts: -->\n";
const END = "<!-- End of what is made. -->\n";
/** Settings within lists and objects, so deep. */
const MAX_DEPTH = 3;

const ScalarSchema = z.union([z.string(), z.number(), z.boolean(), z.null()]);
type Node = {
  type?: string | undefined;
  description?: string | undefined;
  default?: unknown;
  enum?: readonly (string | number | boolean | null)[] | undefined;
  const?: string | number | boolean | null | undefined;
  minimum?: number | undefined;
  maximum?: number | undefined;
  items?: Node | undefined;
  anyOf?: readonly Node[] | undefined;
  properties?: Readonly<Record<string, Node>> | undefined;
  required?: readonly string[] | undefined;
  additionalProperties?: unknown;
};
const NodeSchema: z.ZodType<Node> = z.looseObject({
  type: z.string().optional(),
  description: z.string().optional(),
  enum: z.array(ScalarSchema).optional(),
  const: ScalarSchema.optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  required: z.array(z.string()).optional(),
  get items() {
    return NodeSchema.optional();
  },
  get anyOf() {
    return z.array(NodeSchema).optional();
  },
  get properties() {
    return z.record(z.string(), NodeSchema).optional();
  },
});

export function writePluginsDoc(): void {
  writeFileSync(file, withTables(readFileSync(file, "utf8")));
}

/** Code 0 when the page says what the schemas say. */
export function checkPluginsDoc(): { code: number; output: string } {
  const text = readFileSync(file, "utf8");
  if (text === withTables(text)) return { code: 0, output: "" };
  return { code: 1, output: "docs/plugins.md is not what plugins/catalog.ts says: run `npm run format`.\n" };
}

function withTables(text: string): string {
  const begin = text.indexOf(BEGIN) + BEGIN.length;
  const end = text.indexOf(END);
  if (begin < BEGIN.length || end < begin) throw new Error("docs/plugins.md lacks the marks around its tables");
  return `${text.slice(0, begin)}\n${catalog.map(sectionOf).join("\n")}\n${text.slice(end)}`;
}

function sectionOf({ name, phases, observes, failMode, timeoutMs, after, requires, config }: Plugin): string {
  const behind = [...after, ...requires];
  const order = behind.length === 0 ? "" : `, after ${behind.map(code).join(", ")}`;
  const place = `In ${phases.map(code).join(", ")}${order}; fails ${failMode}, after ${timeoutMs} ms.`;
  const told = observes ? ["Told of all verdicts."] : [];
  const head = `### \`${name}\`\n\n${[...(phases.length === 0 ? [] : [place]), ...told].join(" ")}\n\n`;
  const rows = rowsOf(NodeSchema.parse(z.toJSONSchema(config, { io: "input" })), "", 1);
  return `${head}| Setting | Takes | Default | Means |\n|---|---|---|---|\n${rows.join("")}`;
}

function rowsOf(node: Node, prefix: string, depth: number): string[] {
  const { properties, required } = fieldsOf(node);
  return Object.entries(properties).flatMap(([name, field]) => {
    const path = `${prefix}${name}`;
    const known =
      field.default === undefined ? (required.has(name) ? "needed" : "") : code(JSON.stringify(field.default));
    const row = `| \`${path}\` | ${escaped(typeOf(field))} | ${escaped(known)} | ${escaped(field.description ?? "")} |\n`;
    if (depth >= MAX_DEPTH) return [row];
    const inner = field.type === "array" && field.items !== undefined ? field.items : field;
    return [row, ...rowsOf(inner, field.type === "array" ? `${path}[].` : `${path}.`, depth + 1)];
  });
}

/** Of several forms that an object may have, all fields. */
function fieldsOf(node: Node): { properties: Record<string, Node>; required: Set<string> } {
  const forms = node.anyOf ?? [node];
  const objects = forms.filter(({ properties }) => properties !== undefined);
  const properties: Record<string, Node> = {};
  for (const form of objects) {
    for (const [name, field] of Object.entries(form.properties ?? {})) {
      const known = properties[name];
      properties[name] = known === undefined ? field : eitherOf(known, field);
    }
  }
  const isNeeded = (name: string) => objects.every(({ required = [] }) => required.includes(name));
  return { properties, required: new Set(Object.keys(properties).filter(isNeeded)) };
}

function eitherOf(one: Node, other: Node): Node {
  if (JSON.stringify(one) === JSON.stringify(other)) return one;
  const forms = [...(one.anyOf ?? [one]), ...(other.anyOf ?? [other])];
  return { anyOf: forms, default: one.default ?? other.default, description: one.description ?? other.description };
}

function typeOf(node: Node): string {
  if (node.const !== undefined) return code(String(node.const));
  if (node.enum !== undefined) return node.enum.map((value) => code(String(value))).join(", ");
  if (node.anyOf !== undefined) return [...new Set(node.anyOf.map(typeOf))].join(" or ");
  if (node.type === "array") return `list of ${node.items === undefined ? "anything" : typeOf(node.items)}`;
  if (node.type === "object") return node.properties === undefined ? "object by name" : "object";
  if (node.type === "integer" || node.type === "number") return boundsOf(node, node.type);
  return node.type ?? "anything";
}

function boundsOf({ minimum, maximum }: Node, type: string): string {
  if (minimum === undefined && maximum === undefined) return type;
  const to = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? "" : maximum.toLocaleString("en");
  return `${type} ${minimum?.toLocaleString("en") ?? ""}–${to}`;
}

function code(text: string): string {
  return `\`${text}\``;
}

function escaped(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}
