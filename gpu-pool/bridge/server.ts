/**
 * The bridge's HTTP server: `/kafka` and `/redis` lead to the doors, `/healthz` says whether what is behind them
 * answers, `/metrics` is for Prometheus. listening → draining (no new connections, running requests may end) → closed.
 */
import { createServer } from "node:http";
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Logger } from "pino";
import { EdgeplaneError } from "../../src/contract/errors.ts";
import { errorHeaders, IncomingRequest, readBody, sendJson, shownError } from "./http.ts";
import type { Reply } from "./http.ts";
import { KafkaDoor } from "./kafka/door.ts";
import { createMetrics } from "./metrics.ts";
import { readPem } from "./pem-files.ts";
import { RedisDoor } from "./redis/door.ts";
import { SettingsError } from "./settings.ts";
import type { Settings } from "./settings.ts";

const LAG_TIMEOUT_MS = 3000;
const HEALTH_TIMEOUT_MS = 3000;
const SWEEP_MS = 50;
const DOOR = /^\/(kafka|redis)(?=\/|$)/;

export type Bridge = {
  url: string;
  port: number;
  close: () => Promise<void>;
  kafka: KafkaDoor | null;
  redis: RedisDoor | null;
};

/**
 * Starts the bridge and answers once it listens. What is behind it may be away: then it answers 503 and `/healthz` says
 * so. Where it can't listen it throws, and leaves nothing open.
 */
export async function startBridge(settings: Settings, log: Logger): Promise<Bridge> {
  const metrics = createMetrics();
  const certificate =
    settings.https === undefined
      ? null
      : { cert: readPem("https.cert", settings.https.cert), key: readPem("https.key", settings.https.key) };
  const kafka = settings.kafka === undefined ? null : new KafkaDoor(settings.kafka, metrics);
  const redis = settings.redis === undefined ? null : new RedisDoor(settings.redis, metrics, log);
  let draining = false;

  const onRequest = (message: IncomingMessage, response: ServerResponse) => {
    const started = performance.now();
    const request = new IncomingRequest(message, response);
    const door = DOOR.exec(request.path)?.[1] ?? "bridge";
    serve(message, response, request, door).then(
      (operation) => observe(door, operation, response.statusCode, started),
      (error: unknown) => {
        const shown = shownError(error);
        if (!response.headersSent) {
          const close = message.complete ? {} : { connection: "close" };
          sendJson(
            response,
            shown.status,
            { error: shown.message, status: shown.status, code: shown.code },
            { ...errorHeaders(shown), ...close },
          );
        } else response.destroy();
        if (shown.code === "internal") log.error({ err: error, door }, "request failed");
        if (shown.status >= 500 && shown.code !== "internal")
          log.warn({ door, error: shown.message }, "request refused");
        observe(door, "error", shown.status, started);
      },
    );
  };

  const observe = (door: string, operation: string, status: number, started: number) => {
    metrics.requests.inc({ door, operation, status: String(status) });
    metrics.duration.observe({ door, operation }, (performance.now() - started) / 1000);
  };

  const serve = async (
    message: IncomingMessage,
    response: ServerResponse,
    request: IncomingRequest,
    door: string,
  ): Promise<string> => {
    if (draining) response.setHeader("connection", "close");
    if (door === "kafka" && kafka !== null) {
      const user = kafka.authenticate(request);
      request.body = await readBody(message, kafka.bodyLimitBytes);
      return finish(response, await kafka.handle(request, user));
    }
    if (door === "redis" && redis !== null) {
      const token = redis.authenticate(request);
      request.body = await readBody(message, redis.bodyLimitBytes);
      if (redis.isStream(request)) return redis.stream(request, token, response);
      return finish(response, await redis.handle(request, token));
    }
    if (request.path === "/healthz") return health(response);
    if (request.path === "/metrics") return expose(response);
    throw new EdgeplaneError("not_found", "There is /kafka, /redis, /healthz and /metrics, as far as they are set up.");
  };

  const health = async (response: ServerResponse): Promise<string> => {
    const check = async (probe: (() => Promise<unknown>) | undefined) => {
      if (probe === undefined) return "off";
      return within(probe(), HEALTH_TIMEOUT_MS).then(
        () => "ok",
        (error: unknown) => shownError(error).message,
      );
    };
    const [kafkaState, redisState] = await Promise.all([
      check(kafka === null ? undefined : async () => kafka.cluster.probe()),
      check(redis === null ? undefined : async () => redis.probe()),
    ]);
    const well = [kafkaState, redisState].every((state) => state === "ok" || state === "off") && !draining;
    sendJson(response, well ? 200 : 503, {
      status: draining ? "draining" : well ? "ok" : "unavailable",
      kafka: kafkaState,
      redis: redisState,
    });
    return "healthz";
  };

  const expose = async (response: ServerResponse): Promise<string> => {
    if (kafka !== null) await within(kafka.measureLag(), LAG_TIMEOUT_MS).catch(() => {});
    const text = await metrics.registry.metrics();
    response.writeHead(200, { "content-type": metrics.registry.contentType }).end(text);
    return "metrics";
  };

  const closeDoors = async () => {
    await Promise.all([kafka?.close(), redis?.close()]);
  };
  let server: Server;
  try {
    server = certificate === null ? createServer(onRequest) : secureServer(certificate, onRequest);
    await listen(server, settings);
  } catch (error) {
    await closeDoors();
    throw error;
  }
  server.keepAliveTimeout = 65_000;
  server.requestTimeout = 120_000;
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : settings.port;
  const host = settings.host.includes(":") ? `[${settings.host}]` : settings.host;

  const close = async () => {
    draining = true;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
    redis?.endStreams();
    const timer = setTimeout(() => server.closeAllConnections(), settings.drainMs);
    await closed;
    clearTimeout(timer);
    clearInterval(sweep);
    await closeDoors();
  };
  return { url: `${certificate === null ? "http" : "https"}://${host}:${port}`, port, close, kafka, redis };
}

function secureServer(certificate: { cert: Buffer; key: Buffer }, onRequest: RequestListener): Server {
  try {
    return createHttpsServer(certificate, onRequest);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SettingsError(`https.cert and https.key can't be used: ${why}`);
  }
}

/** Throws an error that names the settings to change. */
async function listen(server: Server, { host, port }: Settings): Promise<void> {
  const listening = new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  await listening.catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${why}; choose another address with host and port (BRIDGE_HOST, BRIDGE_PORT).`, { cause: error });
  });
}

function finish(response: ServerResponse, reply: Reply): string {
  if (reply.onLost !== undefined) {
    const { onLost } = reply;
    if (response.destroyed) onLost();
    else response.once("close", () => (response.writableFinished ? undefined : onLost()));
  }
  sendJson(response, reply.status, reply.body, reply.headers);
  return reply.operation;
}

async function within<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new EdgeplaneError("unavailable", `no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
