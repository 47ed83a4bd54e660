/** The peer: the Portkey gateway, in a process of its own, in front of an upstream that speaks OpenAI's chat. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { benchFolder } from "./bullmq.ts";

const START_LIMIT_MS = 30_000;

export type Portkey = { url: string; headers: Record<string, string>; pid: number; stop(): void };

/** `upstream` is the base of the API, such as http://127.0.0.1:8080/v1. */
export async function startPortkey(port: number, upstream: string): Promise<Portkey> {
  const server = join(benchFolder, "node_modules/@portkey-ai/gateway/build/start-server.js");
  const child = spawn(process.execPath, [server, `--port=${port}`, "--headless"], { stdio: "ignore" });
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
