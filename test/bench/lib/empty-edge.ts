/**
 * An edge with nothing in it, so that a rate is the pool's own: it grants what the pool has room for, over the control
 * channel, and takes every event. It keeps no rows and judges nothing; the tests' small edge does.
 */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import type { WebSocket } from "ws";
import { PoolMessageSchema } from "../../../src/contract/channel.ts";
import type { EdgeMessage, PoolMessage } from "../../../src/contract/channel.ts";
import type { Grant } from "../../../src/contract/claim.ts";
import type { EventsRequest, EventVerdict, PoolEvent } from "../../../src/contract/event.ts";
import { newPredictionId, newToken } from "../../../src/contract/ids.ts";
import type { Json, ModelRef } from "../../../src/contract/prediction.ts";

const LEASE_MS = 30_000;
/** How long a prediction may wait, and run. */
const LIMIT_MS = 300_000;

/** The last event of a prediction. */
export type End = Extract<PoolEvent, { type: "succeeded" | "failed" }>;
type Waiting = { id: string; model: ModelRef; input: Json; ended: (end: End) => void };
/** What the pool said last of one version, and what it was granted since that it hasn't acknowledged. */
type Room = { room: number; startNow: number; unseen: Set<string> };

export async function startEmptyEdge() {
  const token = newToken();
  const rooms = new Map<string, Room>();
  const queues = new Map<string, Waiting[]>();
  const granted = new Map<string, Waiting>();
  let channel: WebSocket | null = null;
  let connected: () => void = () => {};
  const isConnected = new Promise<void>((resolve) => (connected = resolve));
  let isGrantDue = false;

  const tell = (message: EdgeMessage): void => channel?.send(JSON.stringify(message));

  /** Grants together what was submitted, and what became free, within one turn of the event loop. */
  function grantSoon(): void {
    if (isGrantDue) return;
    isGrantDue = true;
    setImmediate(() => {
      isGrantDue = false;
      const grants = [...queues].flatMap(([key, queue]) => grantsOf(queue, rooms.get(key)));
      if (grants.length > 0) tell({ type: "grants", grants });
    });
  }

  function grantsOf(queue: Waiting[], room: Room | undefined): Grant[] {
    if (room === undefined) return [];
    return queue.splice(0, Math.max(0, room.room - room.unseen.size)).map((waiting) => {
      const startNow = room.unseen.size < room.startNow;
      room.unseen.add(waiting.id);
      granted.set(waiting.id, waiting);
      return grantOf(waiting, startNow);
    });
  }

  function heard(message: PoolMessage): void {
    if (message.type === "hello") {
      tell({ type: "welcome", leaseMs: LEASE_MS, eventsOpen: true, registersModels: true });
      connected();
    }
    if (message.type !== "room") return;
    for (const { models, seen } of message.lanes) {
      for (const { unseen } of rooms.values()) for (const id of seen) unseen.delete(id);
      for (const { model, version, room, startNow } of models) {
        const unseen = rooms.get(keyOf(model, version))?.unseen ?? new Set();
        rooms.set(keyOf(model, version), { room, startNow, unseen });
      }
    }
    grantSoon();
  }

  /** The events are the bench's own pool's: reading them again would be counted as the pool's time. */
  function take({ events }: EventsRequest): { verdicts: EventVerdict[]; cancel: [] } {
    const verdicts = new Map<string, EventVerdict>();
    for (const event of events) {
      const { id, seq } = event;
      verdicts.set(event.token, { id, token: event.token, verdict: "ok", next: seq + 1, attempt: 1 });
      const waiting = granted.get(id);
      if (waiting === undefined) continue;
      if (event.type === "released") {
        granted.delete(id);
        queueOf(waiting.model).push(waiting);
      } else if (event.type === "succeeded" || event.type === "failed") {
        granted.delete(id);
        waiting.ended(event);
      }
    }
    grantSoon();
    return { verdicts: [...verdicts.values()], cancel: [] };
  }

  function queueOf({ owner, name, version }: ModelRef): Waiting[] {
    const key = keyOf(`${owner}/${name}`, version);
    const known = queues.get(key) ?? [];
    queues.set(key, known);
    return known;
  }

  async function answer(request: IncomingMessage): Promise<unknown> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body: unknown = chunks.length === 0 ? null : JSON.parse(Buffer.concat(chunks).toString());
    const path = new URL(request.url ?? "/", "http://edge").pathname;
    if (path === "/pool/v1/events") return take(body as EventsRequest);
    if (path === "/pool/v1/claims") return { claims: [] };
    if (path === "/pool/v1/configurations") return { configurations: {}, versions: {} };
    if (path === "/pool/v1/usage") {
      const { from, intervals } = body as { from: number; intervals: unknown[] };
      return { next: from + intervals.length };
    }
    return path.endsWith("/secrets") ? { secrets: {} } : [];
  }

  const server = createServer((request, reply) => {
    answer(request).then(
      (body) => send(reply, 200, body),
      (error: unknown) => send(reply, 500, { error: String(error) }),
    );
  });
  const webSockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    webSockets.handleUpgrade(request, socket, head, (opened) => {
      channel = opened;
      opened.on("message", (data) => {
        const text = data.toString("utf8");
        if (text === "ping") opened.send("pong");
        else heard(PoolMessageSchema.parse(JSON.parse(text)));
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token,
    /** Resolves when a pool has said hello. */
    connected: () => isConnected,
    /** Resolves with the last event of a prediction. */
    submit: (model: ModelRef, input: Json) =>
      new Promise<End>((ended) => {
        queueOf(model).push({ id: newPredictionId(1), model, input, ended });
        grantSoon();
      }),
    async close(): Promise<void> {
      webSockets.close();
      channel?.terminate();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

const keyOf = (model: string, version: string): string => `${model} ${version}`;

function grantOf({ id, model, input }: Waiting, startNow: boolean): Grant {
  return {
    ...{ id, verdict: "granted", token: newToken(), attempt: 1, startNow, alone: false, model, input },
    ...{ startInMs: LIMIT_MS, endInMs: LIMIT_MS, cost: 1, stream: false, seq: 0 },
  };
}

function send(reply: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  reply.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}
