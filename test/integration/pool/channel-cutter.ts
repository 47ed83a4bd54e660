/** A way to the edge on which the control channel can be cut, and nothing else. */
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

export type ChannelCutter = {
  url: string;
  /** Breaks the channel and lets none through. */
  cut(): void;
  mend(): void;
  /** How often pools have sent something over their channel. */
  sent(): number;
  stop(): Promise<void>;
};

export async function startChannelCutter(edgePort: number): Promise<ChannelCutter> {
  const channels = new Set<Socket>();
  const all = new Set<Socket>();
  let isCut = false;
  let sent = 0;
  const server = createServer((socket) => {
    all.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("data", (first: Buffer) => {
      const isChannel = first.toString("latin1").startsWith("GET /pool/v1/connect");
      if (isChannel && isCut) {
        socket.destroy();
        return;
      }
      if (isChannel) {
        channels.add(socket);
        socket.on("data", () => (sent += 1));
      }
      const upstream = connect(edgePort, "127.0.0.1");
      for (const [end, other] of [
        [socket, upstream],
        [upstream, socket],
      ] as const) {
        end.on("error", () => other.destroy());
        end.on("close", () => other.destroy());
      }
      upstream.write(first);
      socket.pipe(upstream).pipe(socket);
    });
    socket.on("close", () => {
      all.delete(socket);
      channels.delete(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut() {
      isCut = true;
      for (const socket of channels) socket.destroy();
    },
    mend() {
      isCut = false;
    },
    sent: () => sent,
    async stop() {
      for (const socket of all) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
