/**
 * The local port: `/healthz`, `/metrics` (Prometheus), `/models` (state of each, with the traceback of a failed setup)
 * and `/status` (the devices and what is on them).
 */
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { Registry } from "prom-client";

export type TelemetryOptions = {
  host: string;
  /** 0 takes a free one. */
  port: number;
  registry: Registry;
  /** `ok` false answers 503. */
  health(): { ok: boolean; [key: string]: unknown };
  models(): unknown;
  status(): unknown;
};

/** Listens; resolves with the server and its port. Rejects when the port is taken. */
export async function serveTelemetry(options: TelemetryOptions): Promise<{ server: Server; port: number }> {
  const server = createServer((request, reply) => {
    const path = (request.url ?? "/").split("?")[0];
    const json = (status: number, body: unknown): void => {
      reply.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
    };
    if (path === "/healthz") {
      const health = options.health();
      json(health.ok ? 200 : 503, health);
    } else if (path === "/models") json(200, options.models());
    else if (path === "/status") json(200, options.status());
    else if (path === "/metrics") {
      options.registry.metrics().then(
        (text) => reply.writeHead(200, { "content-type": options.registry.contentType }).end(text),
        () => json(500, { error: "metrics could not be read" }),
      );
    } else json(404, { error: "here are /healthz, /metrics, /models and /status" });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, resolve);
  });
  server.unref();
  const address = server.address();
  return { server, port: typeof address === "object" && address !== null ? address.port : options.port };
}
