/**
 * Two projects: `node` runs in plain Node, `worker` (`*.worker.test.ts`) inside workerd with the bindings of wrangler.toml. What needs
 * a running stack or a real engine lies under test/ and is listed in scripts/ci/parts.ts; its projects are named after its folders.
 */
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

const MIGRATIONS = "./src/registry/migrations";
/** Folders of test/ whose tests bring up a stack or an engine of their own; `npm test` leaves most of them to CI. */
const stackFolders = ["e2e", "chaos", "bench", "conformance", "integration"] as const;

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "node",
          include: ["{src,plugins,gpu-pool,scripts}/**/*.test.ts", "test/*.test.ts", "test/unit/**/*.test.ts"],
          exclude: ["**/*.worker.test.ts", "**/*.engine.test.ts", "**/node_modules/**"],
          testTimeout: 20_000,
        },
      },
      {
        plugins: [
          cloudflareTest(async () => ({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                EDGEPLANE_SECRET: "test-secret-test-secret-test-secret-test-secret",
                ADMIN_KEY: "ep_admin_test-admin-key-test-admin-key",
                SHARD_COUNT: "16",
                LOG_BROKERS: "1",
                LOG_PARTITIONS: "1",
                TEST_MIGRATIONS: await readD1Migrations(MIGRATIONS),
              },
            },
          })),
        ],
        test: {
          name: "worker",
          include: ["{src,plugins,test}/**/*.worker.test.ts"],
          exclude: ["**/node_modules/**"],
          setupFiles: ["./test/worker/apply-migrations.ts"],
          testTimeout: 20_000,
        },
      },
      ...stackFolders.map((name) => ({
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          exclude: ["**/*.worker.test.ts", "**/node_modules/**"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      })),
      {
        test: {
          name: "engine",
          include: ["{src,plugins,gpu-pool,scripts}/**/*.engine.test.ts"],
          exclude: ["**/node_modules/**"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
