import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { useGateway } from "./test-gateway.ts";
import { runCli } from "./test-io.ts";

const gateway = useGateway();
const { answers, asked } = gateway;

test("JSON in a file is found by its whole path, and by one from the folder of the command", async () => {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-inputs-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "configuration.json");
  writeFileSync(file, '{"maxBatchSize":4}');
  const release = { number: 2, model: "local/a", version: "v" };
  const configuration = { hardware: "cpu", min_instances: 0, max_instances: 1 };
  const deployment = { owner: "local", name: "d", current_release: { ...release, configuration } };
  answers.set("PATCH /v1/deployments/local/d", deployment);
  for (const path of [file, basename(file)]) {
    const args = ["--url", gateway.url, "--key", "ep_x", "deployments", "configure", "local/d", `@${path}`];
    expect(await runCli(args, { cwd: folder })).toMatchObject({ code: 0 });
  }
  const said = { configuration: { maxBatchSize: 4 } };
  expect(asked.map(({ body }) => body)).toEqual([said, said]);
});
