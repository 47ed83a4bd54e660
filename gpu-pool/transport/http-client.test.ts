import { createReadStream, mkdtempSync, readdirSync, readlinkSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { createHttpClient } from "./http-client.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-http-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "large.bin");
writeFileSync(file, "");
truncateSync(file, 8 * 1024 * 1024);

/** How often this process has the file open. */
function handles(): number {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return links.filter((link) => link === file).length;
}

async function listen(answer: RequestListener) {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = new URL(`http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`);
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url, close };
}

test.runIf(process.platform === "linux")("a file that could not be sent is closed", async () => {
  const gone = await listen(() => {});
  await gone.close();
  const refusing = await listen((_request, reply) => reply.writeHead(403).end("no"));
  const silent = await listen(() => {});
  for (const { url } of [gone, refusing, silent]) {
    const http = createHttpClient(url, {});
    for (let tries = 0; tries < 3; tries += 1) {
      const put = { method: "PUT", path: "/", timeoutMs: 200, body: createReadStream(file) } as const;
      await http.request(put).catch(() => {});
    }
  }
  await expect.poll(handles).toBe(0);
  await Promise.all([refusing.close(), silent.close()]);
});
