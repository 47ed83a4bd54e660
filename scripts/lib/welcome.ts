/** What `npm start` says once the stack is up. */

/** A command line that runs one prediction and works when pasted. */
export function curlFor({ url, apiKey }: { url: string; apiKey: string }): string {
  return `curl -s ${url}/v1/models/local/hello-world/predictions \\
    -H 'Authorization: Bearer ${apiKey}' -H 'Content-Type: application/json' -H 'Prefer: wait' \\
    -d '{"input":{"text":"edge"}}'`;
}

/** The whole greeting. `output` is what the first prediction answered, `seconds` how long it took to get there. */
export function welcome(
  stack: { url: string; apiKey: string },
  output: string,
  seconds: number,
  keysFile: string,
): string {
  return `
  A prediction went through everything: ${output}
  Edgeplane is up on ${stack.url} after ${seconds.toFixed(1)} s. Try:

  ${curlFor(stack)}

  The API: ${stack.url}/docs · Keys: ${keysFile} · Ctrl-C stops it.`;
}
