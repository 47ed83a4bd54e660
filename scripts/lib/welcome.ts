/** What `npm start` says once the stack is up. */

type Access = { url: string; apiKey: string };
type Call = { model: string; input: object };

const HELLO: Call = { model: "local/hello-world", input: { text: "edge" } };

/** A command line that runs one prediction and works when pasted. */
export function curlFor({ url, apiKey }: Access, { model, input }: Call = HELLO): string {
  return `curl -s ${url}/v1/models/${model}/predictions \\
    -H 'Authorization: Bearer ${apiKey}' -H 'Content-Type: application/json' -H 'Prefer: wait' \\
    -d '${JSON.stringify({ input })}'`;
}

/** Said as soon as the edge answers; the pool is still on its way. */
export function apiAnswers({ url }: Access, keysFile: string, seconds: number): string {
  return `\n  The API answers on ${url} after ${seconds.toFixed(1)} s; its keys: ${keysFile}\n`;
}

/** `seconds`: how long it took to get there. */
type Up = { models: readonly string[]; warnings: readonly string[]; seconds: number };

/** The greeting with the examples. `output` is what the first prediction answered. */
export function welcome(stack: Access, output: string, up: Up): string {
  return `
  A prediction went through everything: ${output}
${isUp(stack, up)}
  Try:

  ${curlFor(stack)}
`;
}

/** The greeting with models of one's own: nobody here knows what they take, but they say it themselves. */
export function welcomeOwn(stack: Access, up: Up): string {
  return `
${isUp(stack, up)}
  Put a model's inputs in the place of {}; what is missing or wrong is answered by its name:

  ${curlFor(stack, { model: up.models[0] ?? "", input: {} })}
`;
}

/** Said once a model is there that has no machine, and gets one when it is needed. */
export function scalesToZero(stack: Access, model: string, devFile: string): string {
  const adminKey = `$(node -p 'JSON.parse(fs.readFileSync("${devFile}")).adminKey')`;
  return `
  ${model} has no machine. One prediction makes one, and a moment later it is gone again:

  ${curlFor(stack, { model, input: { seconds: 2 } })}

  What it took and cost, and what there is of machines, why, and what they cost:

  curl -s '${stack.url}/v1/usage?group=model' -H 'Authorization: Bearer ${stack.apiKey}'
  curl -s ${stack.url}/admin/v1/scaling -H "Authorization: Bearer ${adminKey}"
`;
}

function isUp({ url }: Access, { models, warnings, seconds }: Up): string {
  const serves = `Edgeplane is up on ${url} after ${seconds.toFixed(1)} s and serves ${models.join(", ")}.`;
  return [serves, ...warnings.map((warning) => `But ${warning}.`)].map((line) => `  ${line}`).join("\n");
}

/** The last line, when the file is there. */
export function whereThingsAre({ url }: Access, keysFile: string): string {
  return `  The API: ${url}/docs · Keys: ${keysFile} · Ctrl-C stops it.`;
}
