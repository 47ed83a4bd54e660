/** `npm run plugin -- init`: a folder with a plugin that works. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { PluginNameSchema } from "../../../src/sandbox/manifest.ts";
import { PluginCommandError } from "./folder.ts";
import { modelTemplate } from "./model-template.ts";

const source = `/** Refuses predictions that cost more than the settings let pass. */
import type { Plugin } from "edgeplane-plugin";

export default {
  setup: ({ config }) => ({
    admit: (call) =>
      call.cost > config.most_cost
        ? { verdict: "reject", code: "rejected_by_policy", message: \`A prediction may cost \${config.most_cost} at most.\` }
        : { verdict: "continue" },
  }),
} satisfies Plugin<{ most_cost: number }>;
`;

const cases = [
  {
    name: "a cheap one passes",
    phase: "admit",
    config: { most_cost: 5 },
    subject: { cost: 1 },
    expect: { verdict: "continue" },
  },
  {
    name: "a dear one is refused",
    phase: "admit",
    config: { most_cost: 5 },
    subject: { cost: 6 },
    expect: { verdict: "reject", code: "rejected_by_policy" },
  },
];

/**
 * Writes the folder, which must be empty or new; its name becomes the plugin's. In `plugins/` of a model's folder it is
 * one that comes with the model. Throws `PluginCommandError`.
 */
export function initPlugin(folder: string): string[] {
  const path = resolve(folder);
  const name = basename(path);
  const wrong = PluginNameSchema.safeParse(name).error?.issues[0]?.message;
  if (wrong !== undefined) throw new PluginCommandError(`"${name}" can't be a plugin's name: ${wrong}.`);
  mkdirSync(path, { recursive: true });
  if (readdirSync(path).length > 0) throw new PluginCommandError(`${path} is not empty.`);
  const files = isOfModel(path) ? modelTemplate(name) : operatorsTemplate(name);
  for (const [file, text] of files) writeFileSync(join(path, file), text);
  return files.map(([file]) => join(folder, file));
}

function isOfModel(path: string): boolean {
  return basename(dirname(path)) === "plugins" && existsSync(join(path, "../../cog.yaml"));
}

function operatorsTemplate(name: string): [file: string, text: string][] {
  const manifest = {
    name,
    api_version: 1,
    phases: ["admit"],
    config_schema: {
      type: "object",
      properties: { most_cost: { type: "number", exclusiveMinimum: 0, default: 10 } },
      required: ["most_cost"],
      additionalProperties: false,
    },
    judges: true,
  };
  return [
    ["plugin.json", `${JSON.stringify(manifest, null, 2)}\n`],
    ["plugin.ts", source],
    ["cases.json", `${JSON.stringify(cases, null, 2)}\n`],
  ];
}
