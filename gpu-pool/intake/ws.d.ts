/** The part of `ws` 8 that the pool uses; the package ships no types. */
declare module "ws" {
  import type { EventEmitter } from "node:events";
  import type { ClientRequest, IncomingMessage, Server } from "node:http";

  export class WebSocket extends EventEmitter {
    static readonly OPEN: number;
    readonly readyState: number;
    /** What client and server agreed on; empty: nothing. */
    readonly extensions: string;
    constructor(
      address: string | URL,
      options?: { headers?: Record<string, string>; handshakeTimeout?: number; perMessageDeflate?: boolean },
    );
    send(data: string): void;
    close(code?: number, reason?: string): void;
    terminate(): void;
    on(event: "open", listener: () => void): this;
    on(event: "message", listener: (data: Buffer, isBinary: boolean) => void): this;
    on(event: "close", listener: (code: number, reason: Buffer) => void): this;
    on(event: "error", listener: (error: Error) => void): this;
    on(event: "unexpected-response", listener: (request: ClientRequest, reply: IncomingMessage) => void): this;
  }

  export class WebSocketServer extends EventEmitter {
    constructor(options: { server?: Server; noServer?: boolean; perMessageDeflate?: boolean });
    handleUpgrade(
      request: IncomingMessage,
      socket: import("node:stream").Duplex,
      head: Buffer,
      done: (socket: WebSocket) => void,
    ): void;
    close(): void;
  }
}
