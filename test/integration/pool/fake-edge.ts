/**
 * A small edge for the pool's tests: control channel, job topics, events and blobs over HTTP, in front of the real
 * shard and the real lanes (edge-core.ts). What a pool may not do, it may not do here.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import * as z from "zod";
import { PoolMessageSchema } from "../../../src/contract/channel.ts";
import type { DesiredLog, EdgeMessage, PoolMessage } from "../../../src/contract/channel.ts";
import { ClaimRequestSchema } from "../../../src/contract/claim.ts";
import type { ClaimAnswer } from "../../../src/contract/claim.ts";
import type { ModelConfiguration } from "../../../src/contract/model-configuration.ts";
import { EventsRequestSchema } from "../../../src/contract/event.ts";
import type { EventVerdict, PoolEvent } from "../../../src/contract/event.ts";
import type { Json, ModelRef } from "../../../src/contract/prediction.ts";
import { IntervalsRequestSchema } from "../../../src/contract/usage.ts";
import type { IntervalsRequest } from "../../../src/contract/usage.ts";
import { jobOf } from "../../../src/lane/job-of.ts";
import { startStopwatch } from "../../stalls.ts";
import type { LaneEntry } from "../../../src/lane/types.ts";
import { EdgeCore } from "./edge-core.ts";
import type { Submission, Tracked } from "./tracked.ts";
import type { PushedFiles } from "../../pushed-files.ts";

export type { Submission, Tracked } from "./tracked.ts";

export type Behaviour = {
  /** How often a log holds each record. */
  copies: number;
  /** What models are told in place of their files' keys; null: the edge can't say. */
  configurations: Record<string, ModelConfiguration> | null;
  /** What deployments say of versions, by `owner/name:version`. */
  deployed: Record<string, ModelConfiguration>;
  /** Answers the next requests to /pool/v1/events with this instead. */
  onEvents: ((events: PoolEvent[]) => EventVerdict[] | number | null) | null;
  blobsWaitFor?: Promise<void>;
  /** Models that were pushed; null: an edge that knows of none, as of the release before. */
  pushed: PushedFiles | null;
  tokenOk: boolean | "registers no models";
  connectStatus: number | null;
  /** The other end of the channel is gone, and nobody says so: what comes is not read, and nothing is sent. */
  isHalfOpen: boolean;
  /** Of all models; null: it does not tell them for now. */
  secrets: Record<string, string> | null;
};

export type FakeEdge = Awaited<ReturnType<typeof startFakeEdge>>;

const ConsumeSchema = z.object({ topics: z.array(z.string()).default([]), timeout: z.number().default(1000) });
const RoomsSchema = z.array(z.tuple([z.string(), z.string(), z.number(), z.number()]));

/** Only what never comes about takes this long; as long as polls of vitest.config.ts. */
const GIVE_UP_MS = 30_000;
/** How much longer a wait takes on a machine that stands still again and again. */
const STALLS_MS = 30_000;
/** What a time goes through: this edge, its pool, a model process. */
export const PROCESSES = 3;

export async function startFakeEdge(
  options: {
    port?: number;
    token?: string;
    leaseMs?: number;
    configurations?: Behaviour["configurations"];
    pushed?: PushedFiles;
  } = {},
) {
  const token = options.token ?? "pool-token";
  const behaviour: Behaviour = {
    copies: 1,
    configurations: options.configurations ?? {},
    deployed: {},
    onEvents: null,
    pushed: options.pushed ?? null,
    tokenOk: true,
    connectStatus: null,
    isHalfOpen: false,
    secrets: {},
  };
  const blobs = new Map<string, Buffer>();
  const counts: Record<string, number> = {};
  const hellos: Extract<PoolMessage, { type: "hello" }>[] = [];
  const messages: PoolMessage[] = [];
  const intervals: IntervalsRequest[] = [];
  const polls = new Set<() => void>();
  const channels = new Set<WebSocket>();
  const sockets = new Set<Socket>();
  const waiters = new Set<() => void>();
  const leaseMs = options.leaseMs ?? 3000;
  const core = new EdgeCore(leaseMs, () => changed());
  let offset = 0;

  function changed(): void {
    for (const poll of [...polls]) poll();
    for (const waiter of [...waiters]) waiter();
  }

  const count = (what: string): void => void (counts[what] = (counts[what] ?? 0) + 1);
  const desiredLog = (): DesiredLog | undefined =>
    core.kafka === null
      ? undefined
      : {
          epoch: 1,
          driver: "upstash",
          url: `http://127.0.0.1:${port()}/bridge`,
          username: "pool",
          password: token,
          readBothMs: 100,
        };

  function recordsOf(lane: string, entry: LaneEntry, answer: ClaimAnswer | null): Json[] {
    offset += 1;
    const headers = answer === null ? [] : [{ key: "edgeplane-claim", value: JSON.stringify(answer) }];
    const record = {
      topic: `jobs.${lane}.${entry.priority}`,
      partition: 0,
      offset,
      timestamp: Date.now(),
      key: entry.id,
      value: JSON.stringify(jobOf(lane, entry, 0)),
      headers,
    };
    return Array.from({ length: behaviour.copies }, () => record);
  }

  function consumeServed(request: IncomingMessage, topics: string[], reply: ServerResponse): void {
    const session = String(request.headers["edgeplane-session"] ?? "");
    const rooms = RoomsSchema.parse(JSON.parse(String(request.headers["edgeplane-model-room"])));
    const lanes = new Set(topics.map((topic) => topic.split(".")[1] ?? ""));
    const taken = [...lanes].flatMap((lane) =>
      core.take(lane, session, rooms).map(({ entry, answer }) => ({ lane, entry, answer })),
    );
    send(
      reply,
      200,
      taken.flatMap(({ lane, entry, answer }) => recordsOf(lane, entry, answer)),
    );
  }

  /** A bridge in front of a real Kafka: waits for records, and claims nothing. */
  function consumeReleased(
    request: IncomingMessage,
    { topics, timeout }: z.infer<typeof ConsumeSchema>,
    reply: ServerResponse,
  ): void {
    const room = Number(request.headers["edgeplane-room"] ?? "100");
    const isMine = ({ lane, entry }: { lane: string; entry: LaneEntry }): boolean =>
      topics.includes(`jobs.${lane}.${entry.priority}`);
    const finish = (): void => {
      clearTimeout(timer);
      polls.delete(attempt);
      if (reply.writableEnded || reply.destroyed) return;
      const mine = (core.kafka ?? []).filter(isMine).slice(0, room);
      core.kafka = core.kafka?.filter((one) => !mine.includes(one)) ?? null;
      send(
        reply,
        200,
        mine.flatMap(({ lane, entry }) => recordsOf(lane, entry, null)),
      );
    };
    const attempt = (): void => {
      if (core.kafka?.some(isMine) === true) finish();
    };
    const timer = setTimeout(finish, timeout);
    reply.on("close", () => {
      clearTimeout(timer);
      polls.delete(attempt);
    });
    polls.add(attempt);
    attempt();
  }

  function isKnown(request: IncomingMessage): boolean {
    const basic = `Basic ${Buffer.from(`pool:${token}`).toString("base64")}`;
    return behaviour.tokenOk !== false && [`Bearer ${token}`, basic].includes(request.headers.authorization ?? "");
  }

  /** A claim's blobs lie below its id and token; its input is the blob that the submission named. */
  function blobAt(path: string): Buffer | undefined {
    const [, id = ""] = /^\/pool\/v1\/blobs\/([^/]+)\/[^/]+\/input$/.exec(path) ?? [];
    const named = core.predictions.get(id)?.inputBlob ?? path;
    return blobs.get(named.replace(/^\/(pool\/v1\/blobs|files)\//, ""));
  }

  async function handle(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? "/", "http://edge").pathname;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    count(path.split("/").slice(1, 4).join("/"));
    if (path.startsWith("/files/")) return sendBlob(path, reply);
    if (!isKnown(request)) return send(reply, 401, { error: "unauthenticated", status: 401 });
    if (await behaviour.pushed?.handle(request, raw, reply)) return;
    if (path.startsWith("/kafka/consume/"))
      consumeServed(request, ConsumeSchema.parse(JSON.parse(raw.toString())).topics, reply);
    else if (path.startsWith("/bridge/consume/"))
      consumeReleased(request, ConsumeSchema.parse(JSON.parse(raw.toString())), reply);
    else if (path.startsWith("/bridge/")) {
      if (path.startsWith("/bridge/delete-consumer/")) count("leave");
      send(reply, 200, { result: "Success", status: 200 });
    } else if (path === "/pool/v1/claims") {
      send(reply, 200, { claims: core.claim(ClaimRequestSchema.parse(JSON.parse(raw.toString()))) });
    } else if (path === "/pool/v1/events") {
      const { session, events, usage } = EventsRequestSchema.parse(JSON.parse(raw.toString()));
      const other = behaviour.onEvents?.(events) ?? null;
      if (typeof other === "number") send(reply, other, { error: "told to" });
      else send(reply, 200, other === null ? core.deliver(session, events, usage) : { verdicts: other, cancel: [] });
    } else if (path.startsWith("/pool/v1/blobs/") && request.method === "PUT") {
      await behaviour.blobsWaitFor;
      const key = path.slice("/pool/v1/blobs/".length);
      blobs.set(key, raw);
      send(reply, 200, { key, url: `http://127.0.0.1:${port()}/files/${key}` });
    } else if (path.startsWith("/pool/v1/blobs/")) sendBlob(path, reply);
    else if (path === "/pool/v1/usage") {
      const request = IntervalsRequestSchema.parse(JSON.parse(raw.toString()));
      intervals.push(request);
      send(reply, 200, { next: request.from + request.intervals.length });
    } else if (path === "/pool/v1/configurations")
      send(reply, behaviour.configurations === null ? 503 : 200, {
        configurations: behaviour.configurations,
        versions: behaviour.deployed,
      });
    else if (/^\/pool\/v1\/models\/.*\/secrets$/.test(path))
      send(reply, behaviour.secrets === null ? 503 : 200, { secrets: behaviour.secrets });
    else send(reply, 404, { error: "not found", status: 404 });
  }

  function sendBlob(path: string, reply: ServerResponse): void {
    const blob = blobAt(path);
    if (blob === undefined) send(reply, 404, { error: "not found" });
    else reply.writeHead(200).end(blob);
  }

  function received(channel: WebSocket, session: string, text: string, tell: (message: EdgeMessage) => void): void {
    if (behaviour.isHalfOpen) return;
    core.heard(session);
    if (text === "ping") {
      count("ping");
      channel.send("pong");
      return;
    }
    const message = PoolMessageSchema.parse(JSON.parse(text));
    messages.push(message);
    if (message.type === "hello") {
      hellos.push(message);
      core.hello(message, tell);
      const log = desiredLog();
      const registersModels = behaviour.tokenOk === true;
      tell({ type: "welcome", leaseMs, eventsOpen: true, registersModels, ...(log === undefined ? {} : { log }) });
    } else if (message.type === "room") core.room(session, message);
    else if (message.type === "draining") core.draining(session);
    changed();
  }

  function opened(channel: WebSocket, request: IncomingMessage): void {
    const session = String(request.headers["edgeplane-session"] ?? "");
    const tell = (message: EdgeMessage): void => {
      if (!behaviour.isHalfOpen) channel.send(JSON.stringify(message));
    };
    channels.add(channel);
    channel.on("close", () => {
      channels.delete(channel);
      core.closed(session, tell);
    });
    channel.on("message", (data) => received(channel, session, data.toString("utf8"), tell));
  }

  let server: Server;
  const webSockets = new WebSocketServer({ noServer: true });
  function port(): number {
    return (server.address() as AddressInfo).port;
  }

  async function listen(at: number): Promise<void> {
    server = createServer((request, reply) => {
      handle(request, reply).catch((error: unknown) => send(reply, 500, { error: String(error) }));
    });
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    server.on("upgrade", (request, socket, head) => {
      const status = behaviour.connectStatus ?? (isKnown(request) ? null : 401);
      if (status === null) webSockets.handleUpgrade(request, socket, head, (channel) => opened(channel, request));
      else socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
    });
    await new Promise<void>((resolve) => server.listen(at, "127.0.0.1", resolve));
  }

  const dropChannels = (): void => channels.forEach((channel) => channel.terminate());
  /** Gone, as after a kill: connections break, the port is closed. What it had stored stays. */
  async function goAway(): Promise<void> {
    dropChannels();
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  await listen(options.port ?? 0);
  const boundPort = port();

  return {
    url: `http://127.0.0.1:${boundPort}`,
    token,
    behaviour,
    core,
    violations: core.violations,
    predictions: core.predictions,
    blobs,
    counts,
    hellos,
    messages,
    intervals,
    submit(model: ModelRef, input: Json, more: Partial<Submission> = {}): Tracked {
      return core.submit(model, input, {
        lane: "default",
        stream: false,
        alone: false,
        startInMs: 60_000,
        endInMs: 120_000,
        ...more,
      });
    },
    cancel: ({ id }: Tracked) => core.cancel(id),
    settlement: core.settlement,
    tell: (message: EdgeMessage) => core.tell(message),
    /** From now on lanes release their jobs into a real Kafka. */
    moveToKafka(): void {
      core.kafka ??= [];
      const log = desiredLog();
      if (log !== undefined) core.tell({ type: "log", log });
    },
    /**
     * Resolves when `condition` holds; rejects after `limitMs`, for which the machine ran, or 30 s later. Looked at on
     * every change and now and then.
     */
    async until(condition: () => boolean, limitMs = GIVE_UP_MS, what = condition.toString()): Promise<void> {
      using watch = startStopwatch(PROCESSES);
      const giveUpAt = Date.now() + limitMs + STALLS_MS;
      while (!condition()) {
        if (watch.ms() > limitMs || Date.now() > giveUpAt) throw new Error(`not within ${limitMs} ms: ${what}`);
        await new Promise<void>((resolve) => {
          const done = (): void => {
            clearTimeout(timer);
            waiters.delete(done);
            resolve();
          };
          const timer = setTimeout(done, 20);
          waiters.add(done);
        });
      }
    },
    goAway,
    comeBack: () => listen(boundPort),
    dropChannels,
    async close(): Promise<void> {
      core.close();
      webSockets.close();
      await goAway();
    },
  };
}

function send(reply: ServerResponse, status: number, body: unknown): void {
  if (reply.writableEnded) return;
  const text = JSON.stringify(body);
  reply.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}
