/** docs/models.md as a reader follows it: what its first snippet writes is a model that a pool serves. */
import { execFileSync } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { snippetsOf } from "../../clients/snippets.ts";
import { startFakeEdge } from "./fake-edge.ts";
import { makeHome, refOf, startPool } from "./pool-process.ts";

const STARTS = "EDGEPLANE_MODELS=my-models npm start";

test("the first model of the page runs", async () => {
  const [snippet] = snippetsOf("docs/models.md");
  expect(snippet?.code).toContain(STARTS);
  const edge = await startFakeEdge();
  const home = makeHome({});
  execFileSync("bash", ["-euo", "pipefail", "-c", (snippet?.code ?? "").replace(STARTS, "")], { cwd: home.root });
  cpSync(join(home.root, "my-models"), home.models, { recursive: true });
  const pool = startPool(home, edge.url, edge.token);
  try {
    await edge.until(() => edge.hellos.length > 0);
    const tracked = edge.submit(await refOf(home, "shout"), { text: "hello" });
    await edge.until(() => tracked.terminal !== null);
    expect(tracked.terminal).toMatchObject({ type: "succeeded", output: "HELLO!" });
  } finally {
    await pool.kill("SIGKILL");
    await edge.close();
    home.remove();
  }
});

test("its other models are Python", () => {
  const others = snippetsOf("docs/models.md").filter(({ language }) => language === "python");
  expect(others.length).toBeGreaterThan(0);
  for (const { code } of others)
    execFileSync("python3", ["-c", "compile(__import__('sys').stdin.read(), 'page', 'exec')"], { input: code });
});
