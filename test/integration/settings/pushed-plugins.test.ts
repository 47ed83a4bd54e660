/** Plugins that come with a model, from its author's folder to the predictions that they screen. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCli } from "../../../cli/test-io.ts";
import type { Ran } from "../../../cli/test-io.ts";
import { startStack } from "../../../scripts/lib/stack.ts";
import type { Stack } from "../../../scripts/lib/stack.ts";

const home = mkdtempSync(join(tmpdir(), "edgeplane-pushed-plugins-"));
let stack: Stack;
const cli = async (...args: string[]): Promise<Ran> => {
  const env = { HOME: home, EDGEPLANE_URL: stack.url, EDGEPLANE_API_KEY: stack.apiKey };
  return runCli(args, { env, cwd: home });
};
const predict = async (reference: string, text: string): Promise<Ran> =>
  cli("predict", reference, "-i", `text=${text}`);

async function publish(settings: object): Promise<void> {
  const answer = await fetch(`${stack.url}/admin/v1/settings`, {
    method: "POST",
    headers: { authorization: `Bearer ${stack.adminKey}` },
    body: JSON.stringify({ why: "a test", settings }),
  });
  if (!answer.ok) throw new Error(`the settings are refused: ${await answer.text()}`);
}

beforeAll(async () => {
  mkdirSync(join(home, "models"));
  stack = await startStack({
    offline: true,
    stateDir: join(home, "state"),
    models: join(home, "models"),
    say: () => {},
  });
});
afterAll(async () => {
  await stack.stop();
  rmSync(home, { recursive: true, force: true });
});

test("a folder with plugins is refused until the operator allows them; then they screen that version alone", async () => {
  expect(await cli("init", "greeter")).toMatchObject({ code: 0 });
  const plain = (await cli("push", "greeter")).stdout.trim();
  expect(await cli("plugins", "init", "greeter/plugins/clean")).toMatchObject({ code: 0 });
  expect(await cli("plugins", "test", "greeter/plugins/clean")).toMatchObject({ code: 0 });
  cpSync(
    join(import.meta.dirname, "../../../plugins/author/examples/no-codename"),
    join(home, "greeter/plugins/no-codename"),
    {
      recursive: true,
    },
  );
  writeFileSync(join(home, "greeter/plugins/no-codename/config.json"), '{"codename": "Ada"}');
  const refused = await cli("push", "greeter");
  expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining("pushed_plugins.owners")]);
  await publish({ plugins: { "api-key": {} }, pushed_plugins: { owners: ["local"], timeout_ms: 5000 } });
  await expect.poll(async () => (await cli("push", "greeter")).code, { interval: 500 }).toBe(0);
  const guarded = await cli("push", "greeter");
  expect(guarded.stderr).toContain("clean (screenInput), no-codename (screenOutput)");

  expect((await predict("local/greeter", "Ada")).stdout.trim()).toBe("Hello, █!");
  expect(await predict("local/greeter", "you blockhead")).toMatchObject({
    code: 3,
    stderr: expect.stringContaining("This model doesn't take that.") as unknown,
  });
  expect((await predict(plain, "Ada")).stdout.trim()).toBe("Hello, Ada!");
  expect((await cli("versions", "show", guarded.stdout.trim())).stdout).toMatch(
    /^plugins +clean \(screenInput\), no-/m,
  );
});

test("one that hangs refuses what it guards, its owner sees why, and the rest goes on", async () => {
  const file = join(home, "greeter/plugins/clean/plugin.ts");
  const manifest = { name: "clean", api_version: 1, phases: ["screenInput"], timeout_ms: 500 };
  writeFileSync(join(home, "greeter/plugins/clean/plugin.json"), JSON.stringify(manifest));
  writeFileSync(
    file,
    `export default { setup: () => ({ screenInput: ({ input }) => {
      if (input.text === "loop") for (;;);
      return { verdict: "continue" };
    } }) };`,
  );
  const version = (await cli("push", "greeter", "--no-latest")).stdout.trim();
  // Not by the command, which tries again: what hangs three times rests for ten minutes.
  const asked = fetch(`${stack.url}/v1/predictions`, {
    method: "POST",
    headers: { authorization: `Bearer ${stack.apiKey}` },
    body: JSON.stringify({ version, input: { text: "loop" } }),
  });
  const [hung, other] = await Promise.all([asked, predict("local/greeter", "Bob")]);
  expect([hung.status, await hung.text()]).toEqual([503, expect.stringContaining("guard_unavailable")]);
  expect(other.stdout.trim()).toBe("Hello, Bob!");
  await expect
    .poll(async () => (await cli("versions", "show", version)).stdout)
    .toMatch(/plugins failed .*clean, screenInput: it took longer than 500 ms/);
  // Its process is ended, and the next one answers.
  await expect.poll(async () => (await predict(version, "Bob")).stdout.trim()).toBe("Hello, Bob!");
});
