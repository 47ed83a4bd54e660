/** `npm run plugin -- test`: loads the plugin as the edge would, and runs its cases. */
import * as z from "zod";
import { createLocalRunner } from "../../../src/sandbox/local-runner.ts";
import type { Upload } from "../../../src/sandbox/manifest.ts";
import { SandboxFault } from "../../../src/sandbox/runner.ts";
import type { PluginRunner } from "../../../src/sandbox/runner.ts";
import { configSchemaOf } from "../../../src/sandbox/uploaded-plugin.ts";
import { parseVerdict } from "../../../src/sandbox/verdict-schema.ts";
import { HostStartSchema, PluginHosts } from "../plugin-hosts.ts";
import type { Case } from "./folder.ts";
import { ordinarySubjects } from "./subjects.ts";

export type CaseResult = { name: string; problem: string | null; ms: number };

/**
 * Runs `cases` one after the other; `onResult` hears of each as it ends. Resolves to the number of those that failed.
 */
export async function testPlugin(
  upload: Upload,
  cases: readonly Case[],
  onResult: (result: CaseResult) => void,
): Promise<number> {
  const hosts = new PluginHosts({ say: () => {}, onProcess: () => {}, hasNetwork: true });
  const supervisor = async (url: string, body: string) =>
    url.endsWith("/start") ? hosts.start(HostStartSchema.parse(JSON.parse(body))) : {};
  const runner = createLocalRunner(
    { fetch: async (url, { body }) => Response.json(await supervisor(url, body)) },
    { fetch: (url, init) => fetch(url, { ...init, signal: AbortSignal.timeout(upload.manifest.timeout_ms) }) },
  );
  let failed = 0;
  const tell = async (name: string, act: () => Promise<string | null>) => {
    const startedAt = performance.now();
    const problem = await act().catch(reasonOf);
    if (problem !== null) failed += 1;
    onResult({ name, problem, ms: performance.now() - startedAt });
  };
  try {
    await tell("loads", () => load(upload, runner));
    if (failed === 0) for (const one of cases) await tell(one.name, () => runCase(upload, runner, one));
  } finally {
    hosts.stop();
  }
  return failed;
}

async function load(upload: Upload, runner: PluginRunner): Promise<null> {
  configSchemaOf(upload.manifest);
  await runner.load({ upload, network: upload.manifest.network });
  return null;
}

async function runCase(upload: Upload, runner: PluginRunner, one: Case): Promise<string | null> {
  const sandboxed = { upload, network: upload.manifest.network };
  const config = configSchemaOf(upload.manifest).parse(one.config);
  if (!upload.manifest.phases.includes(one.phase)) return `plugin.json doesn't name the phase ${one.phase}`;
  const hooks = await runner.start(sandboxed, config);
  if (!hooks.includes(one.phase)) return `setup returned no hook ${one.phase}`;
  const subject = { ...ordinarySubjects[one.phase], ...one.subject };
  const answer = await runner.run(sandboxed, { config, phase: one.phase, subject });
  // The subject is one of that phase as far as a verdict is read against it.
  parseVerdict(one.phase, subject as never, answer);
  const wrong = Object.entries(one.expect).find(([key, value]) => !holds(Reflect.get(Object(answer), key), value));
  return wrong === undefined
    ? null
    : `expected ${wrong[0]} to be ${JSON.stringify(wrong[1])}; it answered ${JSON.stringify(answer)}`;
}

/** Whether `value` has all that `expected` has. */
function holds(value: unknown, expected: unknown): boolean {
  if (typeof expected !== "object" || expected === null) return value === expected;
  if (Array.isArray(expected)) {
    return (
      Array.isArray(value) && value.length === expected.length && expected.every((one, at) => holds(value[at], one))
    );
  }
  return Object.entries(expected).every(([key, one]) => holds(Reflect.get(Object(value), key), one));
}

function reasonOf(error: unknown): string {
  if (error instanceof z.ZodError) return z.prettifyError(error);
  if (error instanceof SandboxFault || error instanceof Error) return error.message;
  return String(error);
}
