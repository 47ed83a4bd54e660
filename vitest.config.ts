/**
 * Two projects: `node` runs in plain Node, `worker` (`*.worker.test.ts`) inside workerd with the bindings of
 * wrangler.toml. What starts processes lies in folders of test/, each a project; what needs an engine is named
 * `*.engine.test.ts`; what takes long has a project whose name ends in `at-length`. scripts/ci/parts.ts says what runs
 * where.
 */
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { Response as MiniflareResponse } from "miniflare";
import { defineConfig } from "vitest/config";
import type { TestProjectInlineConfiguration } from "vitest/config";

const MIGRATIONS = "./src/registry/migrations";
/** Folders of test/ whose tests start processes of their own, each a project. */
const processFolders = [
  "e2e",
  "chaos",
  "bench",
  "conformance",
  "integration",
  "models",
  "through-pool",
  "isolation",
  "environments",
  "clients",
  "browser",
  "streams",
  "steady",
  "self-host",
  "deploy",
  "deploy-files",
] as const;

/** Parts together that take many seconds: CI runs them, and what follows, so that `npm test` is over in minutes. */
const AT_LENGTH = [
  "test/integration/{webhooks,upgrade,settings,provider}/**/*.test.ts",
  "test/integration/pool/{hostile-usage,killed-fetch,long-life,missing-card,outages,payloads,pushed}.test.ts",
  "test/integration/pool/{stored-environments,strict-batches,usage-lost,wide-and-pinned}.test.ts",
  "test/integration/pool/devices-that-break.test.ts",
];

/** Pools that fail, are drained, or are set up in many ways. */
const POOLS_AT_LENGTH = [
  "test/integration/pool/{configurations,failures,gpus,pipelining,preemption,pressure,run,start,versions}.test.ts",
];

/** Whole stacks of which the tests that stay show the main way. */
const E2E_AT_LENGTH = ["test/e2e/{cli,push,uploaded-plugin,versions}.test.ts"];

/** The Worker, where a test sends much, or waits for objects to do it. */
const WORKER_AT_LENGTH = [
  "src/{allowance/allowance-object,canary/canary-object,log/start,object-calls}.worker.test.ts",
  "src/{shard/account-index,shard/publish,versioned-object}.worker.test.ts",
  "src/scaling/object/{hanging,scaler}.worker.test.ts",
  "src/registry/{bundles,quotas,sweep}.worker.test.ts",
  "src/routes/{body-budget,decode-body,surrogates}.worker.test.ts",
  "src/routes/pool/{blobs,environments,models}.worker.test.ts",
  "src/routes/replicate/{aliases,budgets,canary,deployments,files,large-output,lists}.worker.test.ts",
  "src/routes/replicate/{model-secrets,push,pushed-plugins,pushed-versions}.worker.test.ts",
  "src/routes/replicate/{response-cache,retention,uploads}.worker.test.ts",
  "test/{fuzz/requests,worker/model-guard,worker/query-plans}.worker.test.ts",
];

/** Units that build, install, replay or try orders for seconds. */
const UNITS_AT_LENGTH = [
  "cli/push/push.test.ts",
  "gpu-pool/bridge/{http,main}.test.ts",
  "gpu-pool/bundles/content-fetcher.test.ts",
  "gpu-pool/delivery/uploads.test.ts",
  "gpu-pool/describe.test.ts",
  "gpu-pool/layers/layers.test.ts",
  "gpu-pool/runtime/environments/{environments,layers,store}.test.ts",
  "provider/entry.test.ts",
  "provider/providers/command.test.ts",
  "scripts/lib/{bootstrap,edge}.test.ts",
  "scripts/lib/plugin-command/plugin-command.test.ts",
  "scripts/lib/plugin-hosts.test.ts",
  "scripts/lib/simulate/rules.test.ts",
  "scripts/lib/usage-sink/sink.test.ts",
  "src/lane/{fairness,places}.test.ts",
  "src/ledger/limits.test.ts",
  "src/metering/focus.test.ts",
  "src/routes/json-weight.test.ts",
  "src/routes/replicate/linear-pattern.test.ts",
  "src/scaling/{overshoot,self-tuning,what-if}.test.ts",
  "src/scaling/object/{appetites,failing-providers,light-traffic,money,sick-providers,spills,versions}.test.ts",
  "src/webhooks/{accounts,dispatcher,dispatcher-load}.test.ts",
  "scripts/simulate.test.ts",
  "test/fuzz/decoders.test.ts",
  "test/unit/content-safety/evasions.test.ts",
  "test/unit/starts.test.ts",
];
/** Random runs of which `npm test` makes some: CI makes more of them, with another seed. */
const MORE_RUNS = { STATE_MACHINE_RUNS: "1000", STATE_MACHINE_SEED: "20261129" };

/** Draws other cases than the default seed does, in workerd, too (test/property-seed.ts). */
const { PROPERTY_SEED } = process.env;

/** What has to come about is waited for; only what never comes about takes this long. */
const POLL_LIMIT_MS = 30_000;
/**
 * A unit that hangs is ended then, and so is what a file prepares before its tests. On a machine with ten times the
 * work that it can do, the longest took 25 s.
 */
const TEST_LIMIT_MS = 60_000;

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "node",
          // A process, and a workerd, for each file would cost more than the tests do; what files share, the setup
          // makes anew.
          isolate: false,
          setupFiles: ["./test/fresh-file.ts", "./test/seeded-properties.ts"],
          expect: { poll: { timeout: POLL_LIMIT_MS } },
          include: [
            "{src,plugins,gpu-pool,scripts,cli,provider}/**/*.test.ts",
            "test/*.test.ts",
            "test/{unit,fuzz}/**/*.test.ts",
          ],
          exclude: ["**/*.worker.test.ts", "**/*.engine.test.ts", ...UNITS_AT_LENGTH, "**/node_modules/**"],
          testTimeout: TEST_LIMIT_MS,
          hookTimeout: TEST_LIMIT_MS,
        },
      },
      inWorkerd("worker", ["{src,plugins,test}/**/*.worker.test.ts"], WORKER_AT_LENGTH),
      inWorkerd("worker-at-length", WORKER_AT_LENGTH),
      ...processFolders.map((name) => ({
        test: {
          name,
          expect: { poll: { timeout: POLL_LIMIT_MS } },
          include: [`test/${name}/**/*.test.ts`],
          exclude: [
            "**/*.worker.test.ts",
            "**/*.engine.test.ts",
            ...AT_LENGTH,
            ...POOLS_AT_LENGTH,
            ...E2E_AT_LENGTH,
            "**/node_modules/**",
          ],
          ...(name === "e2e" ? { globalSetup: ["./test/e2e/global-setup.ts"] } : {}),
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Their tests wait for real times; side by side they would wait for each other.
          fileParallelism: false,
        },
      })),
      atLength("at-length", { include: AT_LENGTH }),
      atLength("pools-at-length", { include: POOLS_AT_LENGTH }),
      atLength("e2e-at-length", { include: E2E_AT_LENGTH, globalSetup: ["./test/e2e/global-setup.ts"] }),
      atLength("units-at-length", {
        include: [...UNITS_AT_LENGTH, "test/unit/state-machine.test.ts"],
        env: MORE_RUNS,
        setupFiles: ["./test/seeded-properties.ts"],
      }),
      {
        test: {
          name: "e2e-kv",
          expect: { poll: { timeout: POLL_LIMIT_MS } },
          include: ["test/e2e/**/*.test.ts"],
          // The first has a stack of its own, without loopback; how results come home is nothing to the others.
          exclude: ["test/e2e/default-stack.test.ts", ...E2E_AT_LENGTH, "**/node_modules/**"],
          globalSetup: ["./test/e2e/kv-setup.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "engine",
          expect: { poll: { timeout: POLL_LIMIT_MS } },
          include: ["{src,plugins,gpu-pool,scripts,test}/**/*.engine.test.ts"],
          // They measure how long a recovery takes, and run alone.
          exclude: ["test/chaos/**", "**/node_modules/**"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "chaos-kafka",
          expect: { poll: { timeout: POLL_LIMIT_MS } },
          include: ["test/chaos/**/*.engine.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "valkey",
          env: { EDGEPLANE_TEST_REDIS: "valkey-server" },
          expect: { poll: { timeout: POLL_LIMIT_MS } },
          include: ["test/conformance/redis/*.engine.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
});

/** Tests that run inside workerd with the bindings of wrangler.toml. */
function inWorkerd(name: string, include: string[], exclude: string[] = []): TestProjectInlineConfiguration {
  return {
    plugins: [
      cloudflareTest(async () => ({
        wrangler: { configPath: "./wrangler.toml" },
        miniflare: {
          workerLoaders: { LOADER: {} },
          // No test of the Worker sends anything off the machine.
          outboundService: () => new MiniflareResponse("this is a test", { status: 503 }),
          bindings: {
            EDGEPLANE_SECRET: "test-secret-test-secret-test-secret-test-secret",
            ADMIN_KEY: "ep_admin_test-admin-key-test-admin-key",
            SHARD_COUNT: "16",
            PUBLISH_TOPICS: "results,usage,jobs.dlq",
            LOG_BROKERS: "1",
            LOG_PARTITIONS: "1",
            ...(PROPERTY_SEED === undefined ? {} : { PROPERTY_SEED }),
            TEST_MIGRATIONS: await readD1Migrations(MIGRATIONS),
          },
        },
      })),
    ],
    test: {
      name,
      expect: { poll: { timeout: POLL_LIMIT_MS } },
      include,
      exclude: [...exclude, "**/node_modules/**"],
      isolate: false,
      setupFiles: ["./test/fresh-file.ts", "./test/worker/fresh-file.ts"],
      testTimeout: TEST_LIMIT_MS,
      hookTimeout: TEST_LIMIT_MS,
    },
  };
}

/** Tests that CI runs, one file after the other. */
function atLength(name: string, test: TestProjectInlineConfiguration["test"]): TestProjectInlineConfiguration {
  const expect = { poll: { timeout: POLL_LIMIT_MS } };
  return { test: { name, expect, testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false, ...test } };
}
