import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { unstable_readConfig as readConfig } from "wrangler";
import * as z from "zod";
import { originsOf } from "./cloud.ts";
import { planDeployment } from "./plan.ts";

const root = join(import.meta.dirname, "../../..");
const toml = join(root, "wrangler.toml");
const dir = mkdtempSync(join(tmpdir(), "edgeplane-plan-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const ConfigSchema = z.looseObject({
  name: z.string(),
  d1_databases: z.array(z.record(z.string(), z.unknown())),
  r2_buckets: z.array(z.record(z.string(), z.unknown())),
});
const APART = new Set(["configPath", "userConfigPath", "topLevelName", "definedEnvironments", "targetEnvironment"]);
const read = (config: string, env?: string): z.output<typeof ConfigSchema> => {
  const whole = ConfigSchema.parse(readConfig(env === undefined ? { config } : { config, env }));
  return ConfigSchema.parse(Object.fromEntries(Object.entries(whole).filter(([key]) => !APART.has(key))));
};
/** The zeros of a fresh clone are no id, and paths are whole. */
const expectedOf = (env?: string) => {
  const config = read(toml, env);
  const databases = config.d1_databases.map(({ database_id: _zeros, ...others }) => ({
    ...others,
    migrations_dir: join(root, "src/registry/migrations"),
  }));
  return { ...config, d1_databases: databases };
};

test.each([undefined, "plugins"])("wrangler reads the plan of %s as it reads wrangler.toml", (env) => {
  const { configFile } = planDeployment(env ?? null, toml, dir);
  expect(read(configFile)).toEqual(expectedOf(env));
});

test("an environment that wrangler.toml doesn't name is a deployment beside the first, with all its bindings", () => {
  const plan = planDeployment("staging", toml, dir);
  expect(plan).toMatchObject({ name: "edgeplane-staging", database: "edgeplane-staging", hasLoader: false });
  const [staging, first] = [read(plan.configFile), expectedOf()];
  expect(staging.r2_buckets).toMatchObject([{ bucket_name: "edgeplane-blobs-staging" }]);
  const same = { name: "", topLevelName: "", d1_databases: [], r2_buckets: [] };
  expect({ ...staging, ...same }).toEqual({ ...first, routes: [], ...same });
});

test("a deployment beside the first leaves it its domains; the same Worker with a loader keeps them", () => {
  const own = join(dir, "routed.toml");
  const text = readFileSync(toml, "utf8").replaceAll(
    'PUBLIC_ORIGIN = ""',
    'PUBLIC_ORIGIN = "https://edge.example.com"',
  );
  writeFileSync(own, `routes = [{ pattern = "edge.example.com", custom_domain = true }]\n${text}`);
  const addressOf = (environment: string | null): unknown[] => {
    const { routes, vars } = read(planDeployment(environment, own, dir).configFile);
    return [routes, z.looseObject({ PUBLIC_ORIGIN: z.string() }).parse(vars).PUBLIC_ORIGIN];
  };
  const first = [[{ pattern: "edge.example.com", custom_domain: true }], "https://edge.example.com"];
  expect([addressOf(null), addressOf("plugins")]).toEqual([first, first]);
  expect(addressOf("staging")).toEqual([[], ""]);
});

test("the address is a domain of one's own before that of workers.dev; routes and the schedule are none", () => {
  const targets = [
    "https://edgeplane.somebody.workers.dev",
    "example.com/api/* (zone name: example.com)",
    "edge.example.com (custom domain - zone name: example.com)",
    "schedule: */10 * * * *",
  ];
  expect(originsOf(targets)).toEqual(["https://edge.example.com", "https://edgeplane.somebody.workers.dev"]);
});

test("an id of one's own, and an account, stay", () => {
  const text = readFileSync(toml, "utf8").replaceAll("00000000-0000", "12345678-0000");
  const own = join(dir, "wrangler.toml");
  writeFileSync(own, `account_id = "${"a".repeat(32)}"\n${text}`);
  const plan = planDeployment(null, own, dir);
  expect(plan.accountId).toBe("a".repeat(32));
  expect(read(plan.configFile).d1_databases).toMatchObject([{ database_id: "12345678-0000-0000-0000-000000000000" }]);
});

test("what doesn't hold is refused with one line", () => {
  const own = join(dir, "wrong.toml");
  for (const text of ["name = [", 'name = "edgeplane"']) {
    writeFileSync(own, text);
    expect(() => planDeployment(null, own, dir)).toThrow(/wrong\.toml [^\n]*$/);
  }
  expect(() => planDeployment("Not a name", toml, dir)).toThrow(/"Not a name" is no name of an environment/);
});
