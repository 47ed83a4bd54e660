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

/** The greeting with the examples. `output` is what the first prediction answered, `seconds` how long it took to get there. */
export function welcome(stack: Access, output: string, seconds: number): string {
  return `
  A prediction went through everything: ${output}
  Edgeplane is up on ${stack.url} after ${seconds.toFixed(1)} s. Try:

  ${curlFor(stack)}
`;
}

/** The greeting with models of one's own: nobody here knows what they take, but they say it themselves. */
export function welcomeOwn(stack: Access, models: readonly string[], seconds: number): string {
  return `
  Edgeplane is up on ${stack.url} after ${seconds.toFixed(1)} s and serves ${models.join(", ")}.
  Put a model's inputs in the place of {}; what is missing or wrong is answered by its name:

  ${curlFor(stack, { model: models[0] ?? "", input: {} })}
`;
}

/** The last line, when the file is there. */
export function whereThingsAre({ url }: Access, keysFile: string): string {
  return `  The API: ${url}/docs · Keys: ${keysFile} · Ctrl-C stops it.`;
}
