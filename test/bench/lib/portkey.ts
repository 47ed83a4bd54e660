/** The peer: the Portkey gateway, in a process of its own, in front of an upstream that speaks OpenAI's chat. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const portkeyFolder = fileURLToPath(new URL("../portkey", import.meta.url));
const START_LIMIT_MS = 30_000;

export type Portkey = { url: string; headers: Record<string, string>; pid: number; stop(): void };

/** Installs it, once. */
function installPortkey(): void {
  if (existsSync(join(portkeyFolder, "node_modules"))) return;
  execFileSync("npm", ["install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"], {
    cwd: portkeyFolder,
    stdio: "inherit",
  });
}

/** `upstream` is the base of the API, such as http://127.0.0.1:8080/v1. */
export async function startPortkey(port: number, upstream: string): Promise<Portkey> {
  installPortkey();
  const server = join(portkeyFolder, "node_modules/@portkey-ai/gateway/build/start-server.js");
  const child = spawn(process.execPath, [server, `--port=${port}`], { stdio: "ignore" });
  const headers = {
    authorization: "Bearer upstream-key",
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": upstream,
  };
  const giveUpAt = performance.now() + START_LIMIT_MS;
  for (;;) {
    const isUp = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    );
    if (isUp) break;
    if (performance.now() > giveUpAt) throw new Error("the Portkey gateway did not start");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    url: `http://127.0.0.1:${port}/v1/chat/completions`,
    headers,
    pid: child.pid ?? 0,
    stop: () => void child.kill("SIGKILL"),
  };
}
