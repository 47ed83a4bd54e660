/**
 * A small edge for the pool's tests: control channel, embedded log that claims, events, blobs. It keeps the rules that a
 * pool could break: seq without gaps, tokens, one lease a session, no run without a counted start.
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import * as z from "zod";
import { PoolMessageSchema } from "../../../src/contract/channel.ts";
import type { PoolMessage } from "../../../src/contract/channel.ts";
import { ClaimRequestSchema } from "../../../src/contract/claim.ts";
import type { ClaimAnswer, Grant } from "../../../src/contract/claim.ts";
import { EventsRequestSchema } from "../../../src/contract/event.ts";
import type { EventVerdict, PoolEvent } from "../../../src/contract/event.ts";
import type { Json, ModelRef } from "../../../src/contract/prediction.ts";

export type Submission = {
  id: string;
  model: ModelRef;
  input: Json;
  lane: string;
  stream: boolean;
  alone: boolean;
  startInMs: number;
  endInMs: number;
  inputBlob?: string;
};

export type Tracked = Submission & {
  token: string | null;
  session: string | null;
  attempt: number;
  /** Starts that were counted: by the claim, or by a `starting`. */
  starts: number;
  nextSeq: number;
  events: PoolEvent[];
  terminal: PoolEvent | null;
  canceled: boolean;
};

export type Behaviour = {
  /** Attach claims to records, as the embedded log does. */
  embedded: boolean;
  /** How often the log holds each record. */
  copies: number;
  /** Answers the next requests to /pool/v1/events with this instead. */
  onEvents: ((events: PoolEvent[]) => EventVerdict[] | number | null) | null;
  blobsWaitFor?: Promise<void>;
  tokenOk: boolean | "registers no models";
  connectStatus: number | null;
};

export type FakeEdge = Awaited<ReturnType<typeof startFakeEdge>>;

const LEASE_MS = 3000;
const ConsumeSchema = z.object({
  topics: z.array(z.string()).optional(),
  topic: z.string().optional(),
  timeout: z.number().optional(),
});

export async function startFakeEdge(options: { port?: number; token?: string } = {}) {
  const token = options.token ?? "pool-token";
  const behaviour: Behaviour = { embedded: true, copies: 1, onEvents: null, tokenOk: true, connectStatus: null };
  const predictions = new Map<string, Tracked>();
  const blobs = new Map<string, Buffer>();
  const counts: Record<string, number> = {};
  const hellos: Extract<PoolMessage, { type: "hello" }>[] = [];
  const messages: PoolMessage[] = [];
  /** Rules that the pool broke. */
  const violations: string[] = [];
  const waiting: string[] = [];
  const polls = new Set<() => void>();
  const channels = new Set<WebSocket>();
  const sockets = new Set<Socket>();
  const waiters = new Set<() => void>();
  let offset = 0;

  function changed(): void {
    for (const waiter of [...waiters]) waiter();
  }

  function grantOf(tracked: Tracked, session: string, startNow: boolean): Grant {
    if (tracked.session !== session || tracked.token === null) {
      tracked.token = randomUUID().replaceAll("-", "");
      tracked.session = session;
      tracked.nextSeq = 0;
      tracked.attempt += 1;
      if (startNow) tracked.starts += 1;
    }
    const { id, model, alone, startInMs, endInMs, stream, inputBlob } = tracked;
    const input = inputBlob === undefined ? { input: tracked.input } : { inputBlob };
    return {
      id,
      verdict: "granted",
      token: tracked.token,
      attempt: tracked.attempt,
      startNow,
      alone,
      model,
      ...input,
      startInMs,
      endInMs,
      cost: 1,
      stream,
      seq: tracked.nextSeq,
    };
  }

  function claim(id: string, session: string, startNow: boolean): ClaimAnswer {
    const tracked = predictions.get(id);
    if (tracked === undefined) return { id, verdict: "refused", reason: "unknown" };
    if (tracked.terminal !== null || tracked.canceled) return { id, verdict: "refused", reason: "terminal" };
    if (tracked.token !== null && tracked.session !== session)
      return { id, verdict: "refused", reason: "granted_elsewhere" };
    // What was lost before is counted when its start is reported.
    return grantOf(tracked, session, startNow && !tracked.alone);
  }

  function consume(request: IncomingMessage, body: z.infer<typeof ConsumeSchema>, reply: ServerResponse): void {
    const room = Number(request.headers["edgeplane-room"] ?? "100");
    const [, session, start] = /^(.*);start=(\d+)$/.exec(String(request.headers["edgeplane-claim"] ?? "")) ?? [];
    const topics = body.topics ?? [body.topic];
    const take = (): Json[] => {
      const records: Json[] = [];
      for (let index = 0; index < waiting.length && records.length < room;) {
        const id = waiting[index] ?? "";
        const tracked = predictions.get(id);
        if (tracked === undefined || !topics.includes(`jobs.${tracked.lane}.normal`)) {
          index += 1;
          continue;
        }
        waiting.splice(index, 1);
        const { lane, model, startInMs } = tracked;
        const job = {
          v: 1,
          id,
          lane,
          priority: "normal",
          model: `${model.owner}/${model.name}`,
          version: model.version,
          cost: 1,
          startBy: Date.now() + startInMs,
          epoch: 0,
        };
        const headers: Json[] = [];
        if (behaviour.embedded && session !== undefined) {
          const answer = claim(id, session, records.length < Number(start));
          headers.push({ key: "edgeplane-claim", value: JSON.stringify(answer) });
        }
        offset += 1;
        records.push({
          topic: `jobs.${lane}.normal`,
          partition: 0,
          offset,
          timestamp: Date.now(),
          key: id,
          value: JSON.stringify(job),
          headers,
        });
      }
      return records;
    };
    const finish = (): void => {
      clearTimeout(timer);
      polls.delete(attempt);
      if (!reply.writableEnded) send(reply, 200, reply.destroyed ? [] : take());
    };
    const attempt = (): void => {
      if (waiting.some((id) => topics.includes(`jobs.${predictions.get(id)?.lane}.normal`))) finish();
    };
    const timer = setTimeout(finish, body.timeout ?? 1000);
    reply.on("close", () => {
      clearTimeout(timer);
      polls.delete(attempt);
    });
    polls.add(attempt);
    attempt();
  }

  function applyEvents(events: PoolEvent[]): EventVerdict[] {
    const verdicts = new Map<string, EventVerdict>();
    for (const event of events) {
      const tracked = predictions.get(event.id);
      const ref = { id: event.id, token: event.token };
      if (
        tracked === undefined ||
        tracked.token !== event.token ||
        (tracked.terminal !== null && event.seq >= tracked.nextSeq)
      ) {
        verdicts.set(event.token, { ...ref, verdict: "stale" });
      } else if (tracked.canceled) verdicts.set(event.token, { ...ref, verdict: "stale" });
      else if (verdicts.get(event.token)?.verdict === "resend") continue;
      else if (event.seq > tracked.nextSeq)
        verdicts.set(event.token, { ...ref, verdict: "resend", next: tracked.nextSeq });
      else {
        verdicts.set(event.token, { ...ref, verdict: "ok", next: Math.max(tracked.nextSeq, event.seq + 1) });
        if (event.seq === tracked.nextSeq) store(tracked, event);
      }
    }
    changed();
    return [...verdicts.values()];
  }

  function store(tracked: Tracked, event: PoolEvent): void {
    tracked.nextSeq += 1;
    tracked.events.push(event);
    const needsStart = !["starting", "released", "failed"].includes(event.type);
    if (needsStart && tracked.starts === 0) violations.push(`${tracked.id}: ${event.type} before a counted start`);
    if (event.type === "starting") tracked.starts += 1;
    const again =
      event.type === "released" || (event.type === "failed" && event.kind === "crash" && tracked.starts < 3);
    if (again) {
      tracked.token = null;
      tracked.session = null;
      if (event.type === "failed" || event.reason === "lost") tracked.alone = true;
      if (event.type === "failed" || event.reason !== "cannot_run") requeue(tracked.id);
    } else if (event.type === "succeeded" || event.type === "failed") tracked.terminal = event;
  }

  function requeue(id: string): void {
    waiting.push(...Array.from({ length: behaviour.copies }, () => id));
    for (const poll of [...polls]) poll();
    for (const channel of channels)
      channel.send(JSON.stringify({ type: "work", lane: predictions.get(id)?.lane ?? "default" }));
  }

  async function handle(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://edge");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    const path = url.pathname;
    const kind = path.split("/").slice(1, 4).join("/");
    counts[kind] = (counts[kind] ?? 0) + 1;
    const basic = `Basic ${Buffer.from(`pool:${token}`).toString("base64")}`;
    if (
      !path.startsWith("/files/") &&
      (!behaviour.tokenOk ||
        (request.headers.authorization !== `Bearer ${token}` && request.headers.authorization !== basic))
    ) {
      send(reply, 401, { error: "unauthenticated", status: 401 });
    } else if (path.startsWith("/kafka/consume/"))
      consume(request, ConsumeSchema.parse(JSON.parse(raw.toString())), reply);
    else if (path.startsWith("/kafka/commit/")) send(reply, 200, { result: "Success", status: 200 });
    else if (path.startsWith("/kafka/delete-consumer/")) {
      counts["leave"] = (counts["leave"] ?? 0) + 1;
      for (const poll of [...polls]) poll();
      send(reply, 200, { result: "Success", status: 200 });
    } else if (path === "/pool/v1/claims") {
      const { session, startNow, jobs } = ClaimRequestSchema.parse(JSON.parse(raw.toString()));
      send(reply, 200, { claims: jobs.map(({ id }, index) => claim(id, session, index < startNow)) });
    } else if (path === "/pool/v1/events") {
      const { events } = EventsRequestSchema.parse(JSON.parse(raw.toString()));
      const other = behaviour.onEvents?.(events) ?? null;
      if (typeof other === "number") send(reply, other, { error: "told to" });
      else send(reply, 200, { verdicts: other ?? applyEvents(events), cancel: [] });
    } else if (path.startsWith("/pool/v1/blobs/") && request.method === "PUT") {
      await behaviour.blobsWaitFor;
      const key = path.slice("/pool/v1/blobs/".length);
      blobs.set(key, raw);
      send(reply, 200, { key, url: `http://127.0.0.1:${port()}/files/${key}` });
    } else if (path.startsWith("/pool/v1/blobs/") || path.startsWith("/files/")) {
      const blob = blobs.get(path.replace(/^\/(pool\/v1\/blobs|files)\//, ""));
      if (blob === undefined) send(reply, 404, { error: "not found" });
      else reply.writeHead(200).end(blob);
    } else send(reply, 404, { error: "not found", status: 404 });
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
      const status =
        behaviour.connectStatus ??
        (behaviour.tokenOk && request.headers.authorization === `Bearer ${token}` ? null : 401);
      if (status !== null) {
        socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
        return;
      }
      webSockets.handleUpgrade(request, socket, head, (channel) => {
        channels.add(channel);
        channel.on("close", () => channels.delete(channel));
        channel.on("message", (data) => {
          const text = data.toString("utf8");
          if (text === "ping") {
            counts["ping"] = (counts["ping"] ?? 0) + 1;
            channel.send("pong");
            return;
          }
          const message = PoolMessageSchema.parse(JSON.parse(text));
          messages.push(message);
          if (message.type === "hello") hellos.push(message);
          channel.send(
            JSON.stringify({ type: "welcome", leaseMs: LEASE_MS, registersModels: behaviour.tokenOk === true }),
          );
          changed();
        });
      });
    });
    await new Promise<void>((resolve) => server.listen(at, "127.0.0.1", resolve));
  }

  const dropChannels = (): void => channels.forEach((channel) => channel.terminate());
  /** Gone, as after a kill: connections break, the port is closed. */
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
    violations,
    predictions,
    blobs,
    counts,
    hellos,
    messages,
    submit(model: ModelRef, input: Json, more: Partial<Submission> = {}): Tracked {
      const id = (more.id ?? randomUUID().replaceAll("-", "")).slice(0, 26).padEnd(26, "0");
      const tracked: Tracked = {
        model,
        input,
        lane: "default",
        stream: false,
        alone: false,
        startInMs: 60_000,
        endInMs: 120_000,
        ...more,
        id,
        token: null,
        session: null,
        attempt: 0,
        starts: 0,
        nextSeq: 0,
        events: [],
        terminal: null,
        canceled: false,
      };
      predictions.set(id, tracked);
      requeue(id);
      return tracked;
    },
    cancel(tracked: Tracked): void {
      tracked.canceled = true;
      const message = { type: "cancel", claims: [{ id: tracked.id, token: tracked.token ?? "" }] };
      for (const channel of channels) channel.send(JSON.stringify(message));
    },
    tell(message: Json): void {
      for (const channel of channels) channel.send(JSON.stringify(message));
    },
    /** Resolves when `condition` holds; rejects after `limitMs`. Looked at on every change and now and then. */
    async until(condition: () => boolean, limitMs = 10_000, what = condition.toString()): Promise<void> {
      const startedAt = Date.now();
      while (!condition()) {
        if (Date.now() - startedAt > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`);
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
