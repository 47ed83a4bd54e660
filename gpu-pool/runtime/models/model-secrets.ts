/**
 * The secrets of a model, asked of the edge each time that a process of it is started: they are in that process's
 * environment, and nowhere else on this host. What is set anew reaches the next process.
 */
import { MAX_MODEL_SECRETS, ModelSecretsSchema } from "../../../src/contract/model-secrets.ts";
import { modelPath } from "../../../src/contract/manifest.ts";
import type { Manifest } from "../../../src/contract/manifest.ts";
import { createBackoff } from "../../scheduling/backoff.ts";
import { StatusError } from "../../transport/http-client.ts";
import type { HttpClient } from "../../transport/http-client.ts";

const TIMEOUT_MS = 10_000;
const TRIES = 4;

/** Throws where one isn't set, this token may not read them, or the edge stays away; the message says which. */
export async function fetchSecrets(
  http: Pick<HttpClient, "json">,
  manifest: Manifest,
  names: readonly string[],
): Promise<Record<string, string>> {
  if (names.length === 0) return {};
  const model = modelPath(manifest);
  const path = `/pool/v1/models/${model}/versions/${manifest.version}/secrets?names=${names.join(",")}`;
  const { secrets } = ModelSecretsSchema.parse(await ask(http, path, `${model} needs ${names.join(", ")}`));
  const missing = names.filter((name) => secrets[name] === undefined);
  if (missing.length === 0) return Object.fromEntries(names.map((name) => [name, secrets[name] ?? ""]));
  const [first = ""] = missing;
  throw new Error(
    `its secrets are missing: ${missing.join(", ")}. Its owner sets one with PUT /v1/models/${model}/secrets/${first} (at most ${MAX_MODEL_SECRETS})`,
  );
}

async function ask(http: Pick<HttpClient, "json">, path: string, what: string): Promise<unknown> {
  const backoff = createBackoff({ firstMs: 200, capMs: 2000 });
  for (let left = TRIES; ; left -= 1) {
    try {
      return await http.json({ method: "GET", path, timeoutMs: TIMEOUT_MS });
    } catch (error) {
      const isRefused = error instanceof StatusError && !error.mayHeal;
      if (isRefused && error.status === 404)
        throw new Error(`${what}, and this pool's token may not read them: it needs the model's owner and lane`, {
          cause: error,
        });
      if (isRefused || left <= 1)
        throw new Error(`${what}, and the edge did not tell them: ${whyOf(error)}`, { cause: error });
    }
    await new Promise((resolve) => setTimeout(resolve, backoff.nextMs()));
  }
}

function whyOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
