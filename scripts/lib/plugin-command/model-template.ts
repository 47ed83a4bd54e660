/** What `init` writes for a plugin of a model's folder: it screens that model's inputs. */
const source = `/** Refuses inputs with a word that config.json names. */
import type { ModelPlugin } from "edgeplane-plugin";

export default {
  setup: ({ config }) => ({
    screenInput({ input }) {
      const text = JSON.stringify(input).toLowerCase();
      const word = config.words.find((one) => text.includes(one.toLowerCase()));
      if (word === undefined) return { verdict: "continue" };
      return { verdict: "reject", code: "rejected_by_policy", message: "This model doesn't take that." };
    },
  }),
} satisfies ModelPlugin<{ words: string[] }>;
`;

const config = { words: ["blockhead"] };

const cases = [
  {
    name: "an ordinary input passes",
    phase: "screenInput",
    config,
    subject: { input: { text: "hello" } },
    expect: { verdict: "continue" },
  },
  {
    name: "a word is refused, however it is written",
    phase: "screenInput",
    config,
    subject: { input: { text: "you BlockHead" } },
    expect: { verdict: "reject", code: "rejected_by_policy" },
  },
];

export function modelTemplate(name: string): [file: string, text: string][] {
  const manifest = { name, api_version: 1, phases: ["screenInput"], judges: true };
  return [
    ["plugin.json", jsonText(manifest)],
    ["plugin.ts", source],
    ["config.json", jsonText(config)],
    ["cases.json", jsonText(cases)],
  ];
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
