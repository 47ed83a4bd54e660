/** Folders of test/models in the real pool program, with a fake edge around it. */
import { appendFileSync, cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startFakeEdge } from "../integration/pool/fake-edge.ts";
import type { FakeEdge, Submission, Tracked } from "../integration/pool/fake-edge.ts";
import { makeHome, refOf, startPool } from "../integration/pool/pool-process.ts";
import type { Json } from "../models/driver.ts";

export const modelFolders = fileURLToPath(new URL("../models", import.meta.url));

/** A folder, and what is added to its cog.yaml. */
export type PoolFolder = { name: string; settings?: string };

export type PoolHarness = {
  edge: FakeEdge;
  /** Runs one prediction to its end. */
  run(name: string, input: Json, more?: Partial<Submission>): Promise<Tracked>;
  /** What the pool tells of its models at /models. */
  models(): Promise<string>;
  close(): Promise<void>;
};

/** Starts a pool with copies of the folders; they run on the usual Python, whatever version they name. */
export async function startHarness(folders: readonly PoolFolder[], flags: string[]): Promise<PoolHarness> {
  const edge = await startFakeEdge();
  const home = makeHome({});
  for (const { name, settings } of folders) {
    const folder = join(home.models, name);
    cpSync(join(modelFolders, name), folder, { recursive: true });
    const file = join(folder, "cog.yaml");
    const text = readFileSync(file, "utf8").replace(/^build:\n {2}python_version: .*\n/m, "");
    writeFileSync(file, text);
    if (settings !== undefined) appendFileSync(file, `\n${settings}\n`);
  }
  const pool = startPool(home, edge.url, edge.token, ["--isolation", "auto", ...flags]);
  const close = async () => {
    await pool.kill("SIGKILL");
    await edge.close();
    home.remove();
  };
  await edge
    .until(() => edge.hellos.length > 0, 60_000, "the pool's hello")
    .catch(async (error: unknown) => {
      await close();
      throw new Error(`${String(error)}\n${pool.output()}`);
    });
  return {
    edge,
    async run(name, input, more) {
      const tracked = edge.submit(await refOf(home, name), input, more);
      await edge.until(() => tracked.terminal !== null, 30_000, `${name}: the end of a prediction`);
      return tracked;
    },
    models: async () => (await fetch(`http://127.0.0.1:${await pool.port()}/models`)).text(),
    close,
  };
}
