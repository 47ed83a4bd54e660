/** The linter's import directions, proven on a project of one wrong import each. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const refused: [path: string, specifier: string][] = [
  ["src/contract/a.ts", "../shard/machine.ts"],
  ["src/contract/a.ts", "node:fs"],
  ["src/shard/a.ts", "../routes/app.ts"],
  ["src/lane/a.ts", "../../plugins/catalog.ts"],
  ["src/scaling/a.ts", "../lane/order.ts"],
  ["src/scaling/a.ts", "zod"],
  ["src/scaling/simulation/a.ts", "../../contract/ids.ts"],
  ["src/lane/order.ts", "../shard/types.ts"],
  ["src/routes/pool/a.ts", "../../index.ts"],
  ["src/pipeline/a.ts", "../routes/app.ts"],
  ["src/settings/a.ts", "../routes/app.ts"],
  ["src/routes/a.ts", "node:crypto"],
  ["src/routes/a.ts", "../../gpu-pool/main.ts"],
  ["plugins/kernel/a.ts", "../api-key/api-key.ts"],
  ["plugins/kernel/a.ts", "../../src/registry/api-keys.ts"],
  ["plugins/api-key/a.ts", "../../src/settings/current.ts"],
  ["plugins/api-key/a.ts", "../moderation/moderation.ts"],
  ["plugins/api-key/a.ts", "node:crypto"],
  ["gpu-pool/scheduling/a.ts", "../intake/intake.ts"],
  ["gpu-pool/scheduling/a.ts", "node:timers"],
  ["gpu-pool/intake/a.ts", "../runtime/model-process.ts"],
  ["gpu-pool/runtime/a.ts", "../delivery/delivery.ts"],
  ["gpu-pool/delivery/a.ts", "../main.ts"],
  ["gpu-pool/intake/a.ts", "../../src/shard/types.ts"],
  ["cli/push/a.ts", "../../src/contract/manifest.ts"],
  ["cli/push/a.ts", "../../src/registry/models.ts"],
  ["cli/push/a.ts", "../../gpu-pool/runtime/describe-folder.ts"],
  ["provider/providers/a.ts", "../../src/scaling/policy.ts"],
  ["provider/providers/a.ts", "../../gpu-pool/main.ts"],
  ["provider/providers/a.ts", "../../scripts/lib/stack.ts"],
  ["provider/reconciler.ts", "node:timers"],
  ["provider/reconciler.ts", "./providers/local.ts"],
];
const allowed: [path: string, specifier: string][] = [
  ["src/contract/a.ts", "./ids.ts"],
  ["src/shard/a.ts", "../contract/ids.ts"],
  ["src/scaling/simulation/a.ts", "../policy.ts"],
  ["src/registry/a.ts", "../../plugins/kernel/secret.ts"],
  ["src/routes/pool/a.ts", "../../shard/client.ts"],
  ["src/pipeline/a.ts", "../../plugins/kernel/phases.ts"],
  ["plugins/api-key/a.ts", "../kernel/define-plugin.ts"],
  ["plugins/api-key/a.ts", "../../src/contract/errors.ts"],
  ["gpu-pool/intake/a.ts", "../scheduling/backoff.ts"],
  ["gpu-pool/intake/a.ts", "../../src/contract/claim.ts"],
  ["gpu-pool/main.ts", "./runtime/model-process.ts"],
  ["cli/push/a.ts", "../../src/contract/bundle.ts"],
  ["provider/providers/a.ts", "../../src/contract/provider.ts"],
  ["provider/providers/a.ts", "../../scripts/lib/process-info.ts"],
  ["provider/entry.ts", "./reconciler.ts"],
  ["cli/commands/a.ts", "../../scripts/lib/stack.ts"],
];

const root = resolve(import.meta.dirname, "../..");
const configs = ["base", "worker", "node", "test"].map((name) => `tsconfig.${name}.json`);
let project = "";
let report = "";

/**
 * Each case gets a file of its own: beside the one that it names, or that very one where the rules are about it alone.
 */
function fileOf(path: string, specifier: string): string {
  const unique = specifier.replaceAll(/[^a-z]+/g, "-");
  return path.endsWith("/a.ts") ? path.replace(/a\.ts$/, `a${unique}.ts`) : path;
}

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "edgeplane-directions-"));
  for (const name of [".oxlintrc.json", "tsconfig.json", ...configs]) cpSync(join(root, name), join(project, name));
  symlinkSync(join(root, "node_modules"), join(project, "node_modules"));
  for (const [path, specifier] of [...refused, ...allowed]) {
    const file = join(project, fileOf(path, specifier));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `import { x } from "${specifier}";\nexport const y = x;\n`);
  }
  report = spawnSync(join(root, "node_modules/.bin/oxlint"), ["--format=unix"], {
    cwd: project,
    encoding: "utf8",
  }).stdout;
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

function isRefused(path: string, specifier: string): boolean {
  const lines = report.split("\n").filter((line) => line.includes(`${fileOf(path, specifier)}:`));
  return lines.some((line) => line.includes("no-restricted-imports"));
}

test.each(refused)("%s may not import %s", (path, specifier) => {
  expect(isRefused(path, specifier)).toBe(true);
});

test.each(allowed)("%s may import %s", (path, specifier) => {
  expect(isRefused(path, specifier)).toBe(false);
});
