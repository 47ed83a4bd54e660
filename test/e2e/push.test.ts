/** A folder becomes a model that answers: by the command, the edge and a pool, whatever comes in between. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, inject, test } from "vitest";
import * as z from "zod";
import { runCli } from "../../cli/test-io.ts";
import type { Ran } from "../../cli/test-io.ts";

const stack = inject("stack");
const home = mkdtempSync(join(tmpdir(), "edgeplane-push-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const env = { HOME: home, EDGEPLANE_URL: stack.url, EDGEPLANE_API_KEY: stack.apiKey };
const cli = async (...args: string[]): Promise<Ran> => runCli(args, { env, cwd: home });

/** A folder that `init` wrote, which greets with this word. */
async function model(name: string, greeting: string): Promise<string> {
  expect(await cli("init", name)).toMatchObject({ code: 0 });
  greet(name, greeting);
  return `local/${name}`;
}

function greet(name: string, greeting: string): void {
  const file = join(home, name, "run.py");
  writeFileSync(file, readFileSync(file, "utf8").replace(/self\.greeting = ".*"/, `self.greeting = "${greeting}"`));
}

const ask = async (reference: string): Promise<string> =>
  (await cli("predict", reference, "-i", "text=Ada")).stdout.trim();

test("a pushed folder answers, a changed one answers anew, and the old version still does", async () => {
  const name = await model("greeter", "Hello");
  const first = await cli("push", "greeter");
  expect(first).toMatchObject({ code: 0 });
  expect(await ask(name)).toBe("Hello, Ada!");
  greet("greeter", "Good morning");
  expect(await cli("push", "greeter", "--no-latest", "--alias", "next")).toMatchObject({ code: 0 });
  expect(await ask(name)).toBe("Hello, Ada!");
  expect(await ask(`${name}:next`)).toBe("Good morning, Ada!");
  expect(await cli("push", "greeter")).toMatchObject({ code: 0 });
  greet("greeter", "Good night");
  const last = await cli("push", "greeter");
  expect(last.stdout).not.toBe(first.stdout);
  expect(await ask(name)).toBe("Good night, Ada!");
  expect(await ask(first.stdout.trim())).toBe("Hello, Ada!");
  const listed = await cli("versions", "list", name);
  expect(listed.stdout.match(/ live /g)).toHaveLength(3);
});

test("a model without its schema waits for a pool; one whose set-up fails is told with its log", async () => {
  const name = await model("reader", "Hello");
  expect(await cli("push", "reader", "--no-schema")).toMatchObject({ code: 0 });
  expect(await ask(name)).toBe("Hello, Ada!");
  greet("reader", '" + undefined_name + "');
  const failed = await cli("push", "reader", "--no-schema");
  expect(failed).toMatchObject({ code: 1, stdout: "" });
  expect(failed.stderr).toContain("undefined_name");
  const reference = /edgeplane: (\S+) failed/.exec(failed.stderr)?.[1] ?? "";
  expect((await cli("versions", "show", reference)).stdout).toMatch(/^status +failed$[\s\S]*undefined_name/m);
  expect(await ask(name)).toBe("Hello, Ada!");
});

test("a push that was killed is taken up again, and two at once are one version", async () => {
  const name = await model("cut", "Hello");
  const weights = [Buffer.alloc(64 * 1024 * 1024, 7), Buffer.alloc(4 * 1024 * 1024, 8)];
  writeFileSync(join(home, "cut/weights.bin"), Buffer.concat(weights));
  const chunks = weights.map((part) => createHash("sha256").update(part).digest("hex"));
  const program = join(import.meta.dirname, "../../cli/main.ts");
  const args = [program, "push", "cut", "--no-schema"];
  const killed = spawn(process.execPath, args, { cwd: home, env: { ...process.env, ...env }, stdio: "ignore" });
  await expect.poll(async () => missingOf(name, chunks), { interval: 20 }).toBeLessThan(chunks.length);
  killed.kill("SIGKILL");
  await once(killed, "close");
  const arrived = Math.min(...weights.map(({ length }) => length));
  const left = weights.reduce((sum, { length }) => sum + length, 0) - arrived;
  const [one, two] = await Promise.all([cli("--json", "push", "cut"), cli("--json", "push", "cut")]);
  expect([one.code, two.code]).toEqual([0, 0]);
  const [first, second] = [eventsOf(one), eventsOf(two)];
  expect(first.get("sent")?.bytes).toBeLessThan(left + 10_000);
  expect(first.get("live")?.version).toBe(second.get("live")?.version);
  expect(await ask(name)).toBe("Hello, Ada!");
});

async function missingOf(name: string, chunks: readonly string[]): Promise<number> {
  const answer = await fetch(`${stack.url}/v1/models/${name}/chunks/missing`, {
    method: "POST",
    headers: { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ chunks }),
  });
  return z.object({ missing: z.array(z.string()) }).parse(await answer.json()).missing.length;
}

const EventSchema = z.looseObject({ event: z.string(), bytes: z.number().optional(), version: z.string().optional() });

function eventsOf({ stdout }: Ran): Map<string, z.infer<typeof EventSchema>> {
  const lines = stdout.trimEnd().split("\n");
  return new Map(lines.map((line) => EventSchema.parse(JSON.parse(line))).map((one) => [one.event, one]));
}
