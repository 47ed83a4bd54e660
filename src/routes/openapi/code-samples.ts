/** Programs that run a model, as they stand in its document (`x-codeSamples`): they run when pasted. */
import type { Json } from "../../contract/prediction.ts";

export type CodeSample = { lang: string; label: string; source: string };

/** `model` is `owner/name`; the key is read from `EDGEPLANE_API_KEY`. */
export function codeSamples(origin: string, model: string, input: { [key: string]: Json }): CodeSample[] {
  const body = JSON.stringify({ input }).replaceAll("'", String.raw`'\''`);
  return [
    {
      lang: "Shell",
      label: "curl",
      source: `curl -s ${origin}/v1/models/${model}/predictions \\
  -H "Authorization: Bearer $EDGEPLANE_API_KEY" -H 'Content-Type: application/json' -H 'Prefer: wait' \\
  -d '${body}'
`,
    },
    {
      lang: "JavaScript",
      label: "npm install replicate",
      source: `import Replicate from "replicate";

const replicate = new Replicate({ auth: process.env.EDGEPLANE_API_KEY, baseUrl: "${origin}/v1" });
console.log(await replicate.run("${model}", { input: ${JSON.stringify(input)} }));
`,
    },
    {
      lang: "Python",
      label: "pip install replicate",
      source: `import os

from replicate.client import Client

client = Client(api_token=os.environ["EDGEPLANE_API_KEY"], base_url="${origin}")
print(client.run("${model}", input=${pythonLiteral(input)}))
`,
    },
  ];
}

function pythonLiteral(value: Json): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(pythonLiteral).join(", ")}]`;
  const entries = Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}: ${pythonLiteral(inner)}`);
  return `{${entries.join(", ")}}`;
}
