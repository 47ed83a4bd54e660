/** wrangler.toml's two environments are one Worker: they differ by the Worker Loader alone. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { unstable_readConfig as readConfig } from "wrangler";
import * as z from "zod";

const path = join(fileURLToPath(new URL("../..", import.meta.url)), "wrangler.toml");
const ConfigSchema = z.record(z.string(), z.unknown());
/** Where the configuration was read, and which environments it has. */
const APART = new Set(["configPath", "userConfigPath", "topLevelName", "definedEnvironments", "targetEnvironment"]);

test("the environment `plugins` has what the default one has, and the loader", () => {
  const of = (env?: string): Record<string, unknown> => {
    const config = ConfigSchema.parse(readConfig(env === undefined ? { config: path } : { config: path, env }));
    return Object.fromEntries(Object.entries(config).filter(([key]) => !APART.has(key)));
  };
  expect(of("plugins")).toEqual({ ...of(), worker_loaders: [{ binding: "LOADER" }] });
});
