/**
 * The stack of the end-to-end tests once more with `delivery: kv`: every event comes home through a real Redis, and no
 * other way is open.
 */
import type { TestProject } from "vitest/node";
import { startKv } from "../conformance/bridge/kv.ts";
import { provideStack } from "./global-setup.ts";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const kv = await startKv();
  const stop = await provideStack(project, kv.stack);
  return async () => {
    await stop();
    await kv.stop();
  };
}
