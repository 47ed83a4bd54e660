/**
 * A pool without models: it opens a real control channel, states its room as a pool does, polls when it is told, and
 * "runs" what it is granted by waiting.
 */
import { WebSocket } from "ws";
import { PROTOCOL } from "../../../src/contract/channel.ts";
import type { EdgeMessage, ModelRoom, PoolMessage } from "../../../src/contract/channel.ts";
import { SESSION_HEADER } from "../../../src/contract/claim.ts";
import type { Grant } from "../../../src/contract/claim.ts";
import type { PoolEvent } from "../../../src/contract/event.ts";
import { parseEdgeMessage } from "../../../gpu-pool/intake/grants.ts";
import type { JobSource } from "../../../gpu-pool/intake/job-source.ts";
import { RoomStatements } from "../../../gpu-pool/intake/room-statements.ts";
import { systemClock } from "../../../gpu-pool/system-clock.ts";
import type { HttpClient } from "../../../gpu-pool/transport/http-client.ts";

/** What one device runs and takes ahead. */
const ROOM = 2;
const EVENTS_TIMEOUT_MS = 30_000;
const PING_EVERY_MS = 5000;
const LANE = "default";

export type SimulatedPoolOptions = {
  url: string;
  token: string;
  session: string;
  model: { model: string; version: string };
  runMs: number;
  http: HttpClient;
  source: JobSource;
  onGrant(grant: Grant, way: "channel" | "poll"): void;
};

export type SimulatedPool = { stop(): void };

/** Resolves when the edge has welcomed it. */
export async function startSimulatedPool(options: SimulatedPoolOptions): Promise<SimulatedPool> {
  const { url, token, session, model, runMs, http, source } = options;
  const headers = { authorization: `Bearer ${token}`, [SESSION_HEADER]: session };
  const socket = new WebSocket(`${url.replace("http", "ws")}/pool/v1/connect`, { headers, perMessageDeflate: false });
  let held = 0;
  let isOpen = false;
  let isPolling = false;
  let isDue = false;

  const roomNow = (): ModelRoom => {
    const room = Math.max(0, ROOM - held);
    return { ...model, room, startNow: room, readyInMs: 0, problem: null };
  };
  const send = (message: PoolMessage) => {
    if (isOpen) socket.send(JSON.stringify(message));
    return isOpen;
  };
  const rooms = () => ({ lanes: new Map([[LANE, [roomNow()]]]), changesInMs: Infinity });
  const statements = new RoomStatements({ clock: systemClock, rooms, send });

  function run(grants: readonly Grant[], way: "channel" | "poll"): void {
    for (const grant of grants) {
      options.onGrant(grant, way);
      held += 1;
      setTimeout(() => void end(grant), runMs);
    }
    const { model: name, version } = model;
    statements.received(grants.map(({ id }) => ({ id, model: name, version, startNow: true, lane: LANE })));
  }

  async function end({ id, token: claim, seq }: Grant): Promise<void> {
    const event: PoolEvent = { id, token: claim, seq, type: "succeeded", output: "simulated" };
    const body = JSON.stringify({ session, events: [event] });
    await http.request({ method: "POST", path: "/pool/v1/events", headers, timeoutMs: EVENTS_TIMEOUT_MS, body });
    held -= 1;
    statements.ended(id, LANE, runMs);
    if (isDue) void poll();
  }

  async function poll(): Promise<void> {
    isDue = true;
    while (isDue && !isPolling && roomNow().room > 0) {
      isPolling = true;
      isDue = false;
      try {
        const said = [roomNow()];
        const polled = source.poll({ rooms: said, waitMs: 0 });
        statements.polled(LANE, said);
        const { jobs } = await polled;
        isDue = jobs.length > 0;
        run(
          jobs.flatMap(({ answer }) => (answer?.verdict === "granted" ? [answer] : [])),
          "poll",
        );
      } finally {
        isPolling = false;
      }
    }
  }

  function received(message: EdgeMessage): void {
    if (message.type === "grants") run(message.grants, "channel");
    else if (message.type === "tell") statements.tellAll();
    else if (message.type === "work") void poll();
  }

  await new Promise<void>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", (code, reason) => {
      isOpen = false;
      reject(new Error(`the channel closed: ${code} ${reason.toString("utf8")}`));
    });
    socket.on("open", () => {
      isOpen = true;
      send({
        ...{ type: "hello", protocol: PROTOCOL, session, pool: session, version: "0.1.0", lanes: [LANE] },
        ...{ devices: [], models: [] },
      });
    });
    socket.on("message", (data) => {
      const message = parseEdgeMessage(data.toString("utf8"));
      if (message === null) return;
      if (message.type !== "welcome") return received(message);
      statements.tellAll();
      resolve();
    });
  });
  const pings = setInterval(() => isOpen && socket.send("ping"), PING_EVERY_MS);
  return {
    stop() {
      clearInterval(pings);
      socket.terminate();
    },
  };
}
