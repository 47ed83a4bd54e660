/** wrangler.toml's two environments are one Worker: they differ by the Worker Loader alone. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { unstable_readConfig } from "wrangler";

const config = join(fileURLToPath(new URL("../..", import.meta.url)), "wrangler.toml");
const BINDINGS = ["name", "main", "vars", "d1_databases", "r2_buckets", "kv_namespaces", "durable_objects", "migrations"] as const;
const ALSO = ["compatibility_date", "compatibility_flags", "triggers", "observability", "workers_dev"] as const;

test("the environment `plugins` has what the default one has, and the loader", () => {
  const [plain, withPlugins] = [unstable_readConfig({ config }), unstable_readConfig({ config, env: "plugins" })];
  for (const key of [...BINDINGS, ...ALSO]) expect(withPlugins[key], key).toEqual(plain[key]);
  expect(plain.worker_loaders).toEqual([]);
  expect(withPlugins.worker_loaders).toEqual([{ binding: "LOADER" }]);
});
