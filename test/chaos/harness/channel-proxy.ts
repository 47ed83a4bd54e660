/**
 * The way of a control channel through a proxy: each message either way is passed, lost, or comes late or twice, as
 * `treat` says; and all channels that are open can be made to lead nowhere, while their connections stand.
 */
import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { createFrameReader } from "./frames.ts";

const HEAD_END = "\r\n\r\n";
const LONGEST_HOLD_MS = 800;

export type Treatment = "pass" | "lose" | "late" | "twice";
/** What becomes of a message, by its type; `ping`, `pong` and what is no message pass. */
export type Treat = (type: string, to: "edge" | "pool") => Treatment;

export type Channels = ReturnType<typeof createChannels>;

export function createChannels(edgePort: number, treat: Treat) {
  const ends = new Set<Duplex>();
  const deaf = new WeakSet<Duplex>();
  const timers = new Set<NodeJS.Timeout>();
  let mistreated = 0;
  let swallowedGrants = 0;
  let onGrants: (() => void) | null = null;

  function forward(bytes: Buffer, text: string | null, to: "edge" | "pool", target: Duplex): void {
    const type = typeOf(text);
    if (type === "grants" && onGrants !== null) {
      onGrants();
      onGrants = null;
    }
    if (deaf.has(target)) {
      if (type === "grants") swallowedGrants += 1;
      return;
    }
    const treatment = type === null ? "pass" : treat(type, to);
    if (treatment !== "pass") mistreated += 1;
    if (treatment === "lose") return;
    if (treatment !== "late") target.write(bytes);
    if (treatment === "pass") return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      if (!target.destroyed && !deaf.has(target)) target.write(bytes);
    }, Math.random() * LONGEST_HOLD_MS);
    timers.add(timer);
  }

  return {
    get mistreated() {
      return mistreated;
    },

    get swallowedGrants() {
      return swallowedGrants;
    },

    /**
     * Once a message of grants is on its way, nothing arrives any more of channels that are open then, on either side:
     * neither does that message. Resolves when it is so.
     */
    goDeafWithGrants(): Promise<void> {
      return new Promise((resolve) => {
        onGrants = () => {
          for (const end of ends) deaf.add(end);
          resolve();
        };
      });
    },

    open(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
      const upstream = connect(edgePort, "127.0.0.1", () => {
        upstream.write(requestOf(incoming));
        readUp(head);
        socket.on("data", readUp);
      });
      const framesUp = createFrameReader();
      const framesDown = createFrameReader();
      let answer: Buffer | null = Buffer.alloc(0);
      const readUp = (data: Buffer) => {
        for (const { bytes, text } of framesUp(data)) forward(bytes, text, "edge", upstream);
      };
      upstream.on("data", (data: Buffer) => {
        let rest = data;
        if (answer !== null) {
          answer = Buffer.concat([answer, data]);
          const headEnd = answer.indexOf(HEAD_END);
          if (headEnd === -1) return;
          socket.write(answer.subarray(0, headEnd + HEAD_END.length));
          rest = answer.subarray(headEnd + HEAD_END.length);
          answer = null;
        }
        for (const { bytes, text } of framesDown(rest)) forward(bytes, text, "pool", socket);
      });
      for (const [end, other] of [
        [socket, upstream],
        [upstream, socket],
      ] as const) {
        ends.add(end);
        end.on("error", () => end.destroy());
        end.once("close", () => {
          ends.delete(end);
          // The edge of a channel that leads nowhere isn't told that its pool has hung up.
          if (!deaf.has(other)) other.destroy();
        });
      }
    },

    stop(): void {
      for (const timer of timers) clearTimeout(timer);
      for (const end of ends) end.destroy();
    },
  };
}

/** The upgrade as the pool asked for it, but without compression: messages are to be read. */
function requestOf({ url, rawHeaders }: IncomingMessage): string {
  const lines = rawHeaders.flatMap((name, index, all) =>
    index % 2 === 0 && name.toLowerCase() !== "sec-websocket-extensions" ? [`${name}: ${all[index + 1]}`] : [],
  );
  return `GET ${url} HTTP/1.1\r\n${lines.join("\r\n")}${HEAD_END}`;
}

function typeOf(text: string | null): string | null {
  return /"type":"(\w+)"/.exec(text ?? "")?.[1] ?? null;
}
