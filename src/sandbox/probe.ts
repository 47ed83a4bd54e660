/** Loads a version before it is stored, so that one that can't be loaded is refused with what is wrong with it. */
import { EdgeplaneError } from "../contract/errors.ts";
import type { Env } from "../env.ts";
import { currentRunner } from "./current-runner.ts";
import { hashOf } from "./manifest.ts";
import type { Manifest } from "./manifest.ts";
import { configSchemaOf } from "./uploaded-plugin.ts";

/** What loading may take. A module that computes for longer than this is none for a request's way. */
const LOAD_LIMIT_MS = 8000;

/** Throws `plugins_unavailable` where none can be run here, `plugin_invalid` with what keeps this one from loading. */
export async function probeUpload(env: Env, manifest: Manifest, code: string): Promise<void> {
  const runner = currentRunner(env);
  configSchemaOf(manifest);
  const sandboxed = { upload: { hash: await hashOf(manifest, code), manifest, code }, network: [] };
  const problem = await within(runner.load(sandboxed), LOAD_LIMIT_MS);
  if (problem === null) return;
  throw new EdgeplaneError("plugin_invalid", `The module of "${manifest.name}" does not load: ${problem}`);
}

async function within(load: Promise<void>, limitMs: number): Promise<string | null> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`it took longer than ${limitMs} ms`), limitMs);
  });
  try {
    return await Promise.race([
      load.then(
        () => null,
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
