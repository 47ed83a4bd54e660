/** `npm run serve` as a test has it: on any port, for a public address that a proxy would stand for. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { vi } from "vitest";
import * as z from "zod";

const root = join(import.meta.dirname, "../..");
export const ORIGIN = "https://edge.example.com";
const SecretsSchema = z.object({ adminKey: z.string() });

export type Service = { process: ChildProcess; port: number };

/** Resolves when it serves; rejects with what it said when it can't. */
export async function serve(stateDir: string): Promise<Service> {
  const env = { ...process.env, PORT: "0", PUBLIC_ORIGIN: ORIGIN, EDGEPLANE_STATE_DIR: stateDir };
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", join(root, "scripts/serve.ts")], {
    env,
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (part: string) => (text += part));
  const answers = /serves .* on 127\.0\.0\.1:(\d+)/;
  await vi.waitUntil(() => answers.test(text) || child.exitCode !== null, { timeout: 90_000 });
  if (!answers.test(text)) throw new Error(text);
  return { process: child, port: Number(answers.exec(text)?.[1]) };
}

export async function stopService({ process: child }: Service): Promise<void> {
  const gone = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGTERM");
  await gone;
}

export function adminKeyOf(stateDir: string): string {
  return SecretsSchema.parse(JSON.parse(readFileSync(join(stateDir, "secrets.json"), "utf8"))).adminKey;
}
