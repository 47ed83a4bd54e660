/** `npm start` with a folder of one's own: what is there once the API answers, and what once it says that it is up. */
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import * as z from "zod";

const root = join(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "edgeplane-start-"));
const models = join(dir, "models");
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const AccessSchema = z.object({ url: z.string(), apiKey: z.string(), adminKey: z.string() });
const read = (name: string) => AccessSchema.parse(JSON.parse(readFileSync(join(dir, "state", name), "utf8")));

function addModel(name: string, greeting: string): void {
  cpSync(join(root, "examples/hello-world"), join(models, name), { recursive: true });
  const file = join(models, name, "run.py");
  writeFileSync(file, readFileSync(file, "utf8").replace("hello ", greeting));
}

/** Starts it, runs `use` while it is up, and stops it; answers what it has said. */
async function whileUp(use: () => Promise<void>): Promise<string> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "scripts/start.ts"], {
    cwd: root,
    env: { ...process.env, PORT: "0", EDGEPLANE_STATE_DIR: join(dir, "state"), EDGEPLANE_MODELS: models },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  let said = "";
  child.stdout.on("data", (part: Buffer) => (said += part.toString()));
  try {
    await expect.poll(() => said, { timeout: 60_000, interval: 5 }).toContain("The API answers");
    const { url, apiKey } = read("keys.json");
    expect((await fetch(`${url}/v1/account`, { headers: { authorization: `Bearer ${apiKey}` } })).status).toBe(200);
    await expect.poll(() => existsSync(join(dir, "state/dev.json")), { timeout: 60_000, interval: 5 }).toBe(true);
    await use();
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
  return said;
}

/** What a prediction of the model answers the moment the stack is up. */
async function run(model: string): Promise<unknown> {
  const { url, apiKey } = read("dev.json");
  const response = await fetch(`${url}/v1/models/local/${model}/predictions`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json", prefer: "wait" },
    body: JSON.stringify({ input: { text: "x" } }),
  });
  const { output } = z.looseObject({ output: z.unknown() }).parse(await response.json());
  return { status: response.status, output };
}

test("up means that every model of the folder is offered, as it is now: those added and changed since the last start too", async () => {
  addModel("kept", "hello ");
  addModel("changed", "hello ");
  await whileUp(async () => expect(await run("changed")).toEqual({ status: 201, output: "hello x" }));
  addModel("added", "welcome ");
  addModel("changed", "goodbye ");
  const said = await whileUp(async () => {
    expect(read("keys.json")).toEqual(read("dev.json"));
    expect(await Promise.all([run("added"), run("changed")])).toEqual([
      { status: 201, output: "welcome x" },
      { status: 201, output: "goodbye x" },
    ]);
  });
  expect(said).toMatch(
    /The API answers on http.*keys\.json[^]*Edgeplane is up on .*local\/added, local\/changed, local\/kept\./,
  );
  expect(["keys.json", "dev.json"].filter((name) => existsSync(join(dir, "state", name)))).toEqual([]);
});
