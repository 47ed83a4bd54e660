/** Our side of a bench: a folder with the echo model alone, and the request that runs it. */
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";

const examples = fileURLToPath(new URL("../../../examples", import.meta.url));
const READY_MS = 30_000;

const ModelsSchema = z.object({
  results: z.array(
    z.object({ owner: z.string(), name: z.string(), latest_version: z.object({ id: z.string() }).nullable() }),
  ),
});

type Reachable = { url: string; apiKey: string };

/** A folder of models that holds nothing but the echo. */
export function echoModels(stateDir: string): string {
  const folder = join(stateDir, "models");
  mkdirSync(folder, { recursive: true });
  cpSync(join(examples, "echo"), join(folder, "echo"), { recursive: true });
  return folder;
}

/** `owner/name` of the model of that name, and its version, once the pool has offered it. */
export async function offered(stack: Reachable, model: string): Promise<{ path: string; version: string }> {
  const end = Date.now() + READY_MS;
  while (Date.now() < end) {
    const response = await fetch(`${stack.url}/v1/models`, { headers: { authorization: `Bearer ${stack.apiKey}` } });
    const { results } = ModelsSchema.parse(await response.json());
    const found = results.find(({ name }) => name === model);
    if (found?.latest_version) return { path: `${found.owner}/${found.name}`, version: found.latest_version.id };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the pool did not offer the model ${model}`);
}

/** The same of the echo model. */
export function echoModel(stack: Reachable): Promise<{ path: string; version: string }> {
  return offered(stack, "echo");
}

/** A prediction of the echo model that waits for its end; for the load generator. */
export async function echoRequest(stack: Reachable) {
  const { version } = await echoModel(stack);
  return {
    url: `${stack.url}/v1/predictions`,
    headers: { authorization: `Bearer ${stack.apiKey}`, prefer: "wait=60" },
    body: JSON.stringify({ version, input: { value: "a value to be echoed" } }),
    expect: '"succeeded"',
  };
}
