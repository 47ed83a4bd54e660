/** One stack for all end-to-end tests, as `npm start` brings it up, on a port and a folder of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { helloThrough } from "../../scripts/lib/hello.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack, StackOptions } from "../../scripts/lib/stack.ts";

type StackAccess = Pick<Stack, "url" | "apiKey" | "adminKey" | "poolToken" | "kafka">;

declare module "vitest" {
  // oxlint-disable-next-line typescript/consistent-type-definitions -- only an interface merges
  interface ProvidedContext {
    stack: StackAccess;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  return provideStack(project, {});
}

/** Brings the stack up with `more` options, provides it, and answers how to take it down. */
export async function provideStack(
  project: TestProject,
  more: Pick<StackOptions, "vars" | "poolEnv">,
): Promise<() => Promise<void>> {
  const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-e2e-"));
  const lines: string[] = [];
  const stack = await startStack({
    offline: true,
    stateDir,
    allowLoopback: true,
    models: join(import.meta.dirname, "../../examples"),
    say: (line) => lines.push(line),
    ...more,
  });
  const { url, apiKey, adminKey, poolToken, kafka } = stack;
  try {
    await helloThrough(stack);
  } catch (error) {
    console.error(lines.slice(-40).join("\n"));
    throw error;
  }
  project.provide("stack", { url, apiKey, adminKey, poolToken, kafka });
  return async () => {
    await stack.stop();
    rmSync(stateDir, { recursive: true, force: true });
  };
}
